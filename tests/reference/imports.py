"""What a source file imports, read from its text without running it."""

import ast
from functools import cache


def imported(path, root):
    """Return every module that a file below ``root`` imports, inside functions too, by its full dotted name.

    Relative imports are resolved. What is imported from a package and is a module of it counts as that module.
    """
    return _imported(path.relative_to(root).parent.parts, root, path.read_text())


@cache
def _imported(parts, root, text):
    """Return what a file in the folder ``parts`` below ``root`` imports; each text is parsed once."""
    return tuple(_imports(parts, root, text))


def _imports(parts, root, text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = parts[: len(parts) + 1 - node.level] if node.level else ()
            name = ".".join([*above, *([node.module] if node.module else [])])
            folder = root.joinpath(*name.split("."))
            modules = [alias.name for alias in node.names if _is_module(folder, alias.name)]
            yield from (f"{name}.{module}" for module in modules)
            if len(modules) < len(node.names):
                yield name


def _is_module(folder, name):
    return (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()
