import functools
import html
from collections.abc import Callable
from typing import Any, TypeVar

from torch_imf.answers.results import shown

Handler = TypeVar("Handler", bound=Callable[..., Any])


def told(function: Handler) -> Handler:
    r"""Makes what is wrong with a question a message on the page, as plain text."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        import gradio as gr

        try:
            return function(*args, **kwargs)
        except (ValueError, RuntimeError, OSError, ImportError) as error:
            raise gr.Error(html.escape(shown(str(error))), print_exception=False) from error

    return call  # type: ignore[return-value]
