r"""Files: tables, RDF, features, images, downloads, and writing in one step."""
