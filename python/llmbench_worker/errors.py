"""Known failures, and one-line messages that carry a remedy."""

MAX_MESSAGE = 600
"""Characters of a message; a library's message may hold a whole prompt."""

REMEDIES = {
    "MemoryError": "the process ran out of memory; use fewer tokens, a smaller batch or a machine with more memory",
    "TemplateError": "the chat template refused these messages; use other data or another template",
    "TemplateSyntaxError": "the chat template does not compile; check chat_template.jinja",
    "UndefinedError": "the chat template uses a variable that these messages do not have",
    "SecurityError": "the chat template does what the sandbox forbids",
    "ValidationError": "the request does not have the shape of a chat-completions request",
    "JSONDecodeError": "the file is not valid JSON; it may be truncated",
}
"""Name of an exception's class to what can be done about it; the first match along its bases wins."""


class CellError(Exception):
    """A known failure of one cell; its text is the whole message."""


class UnavailableError(Exception):
    """An engine or a call path that is not to be had here; its text is the whole message and has the remedy."""


class FatalError(Exception):
    """A known failure of the worker; its text is the whole message."""


def one_line(text: str) -> str:
    """The text with all white space, line breaks included, as single spaces, cut to `MAX_MESSAGE` characters."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"


def describe(error: BaseException) -> str:
    """`Type: text`, with the remedy where one is known."""
    if isinstance(error, (CellError, UnavailableError, FatalError)):
        return one_line(str(error))
    kind = type(error)
    message = one_line(f"{kind.__name__}: {error}" if str(error) else kind.__name__)
    for base in kind.__mro__:
        remedy = REMEDIES.get(base.__name__)
        if remedy:
            return f"{message} ({remedy})"
    return message


def missing(package: str, error: ImportError | None = None) -> UnavailableError:
    """A package that is not there, or whose import failed. `package` is the name under which pip knows it."""
    if error is None or isinstance(error, ModuleNotFoundError):
        what = f"the Python package {(error and error.name) or package} is not installed"
    else:
        what = f"the Python package {package} does not import ({one_line(str(error))})"
    return UnavailableError(f"{what}; install it with: python -m pip install {package}")


def is_caught(error: BaseException) -> bool:
    """Whether the error belongs to the cell.

    Extensions written in Rust report a panic as an exception that is no `Exception`, so that only what ends a process
    on purpose is let through.
    """
    return not isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit))
