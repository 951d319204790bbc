import sys

from torch_imf.cli import main

if __name__ == "__main__":
    sys.exit(main())
