"""Copies of our TensorRT code in which `trt` has the types of one line's bindings.

The code takes the module as a value, `trt: Any`, since it is imported late and may be any line. A
type checker learns nothing from that. In the copy `trt` is a module with stubs, and what our code
gets from it has the bindings' classes in place of Any.
"""

import ast
import shutil
from pathlib import Path

import edgeseg

MODULES = (
    "runtime/engine/build.py",
    "runtime/engine/tensorrt_api.py",
    "runtime/backends/tensorrt.py",
)
# Our names for objects of TensorRT, wherever they are annotated as Any.
CLASSES = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "config": "IBuilderConfig",
    "parser": "OnnxParser",
    "engine": "ICudaEngine",
    "runtime": "Runtime",
    "_context": "IExecutionContext | None",
}


class Typed(ast.NodeTransformer):
    """Takes `trt` out of parameters and arguments and writes classes for Any."""

    def visit_arguments(self, node: ast.arguments) -> ast.arguments:
        self.generic_visit(node)
        node.args = [arg for arg in node.args if arg.arg != "trt"]
        for arg in (*node.args, *node.kwonlyargs):
            arg.annotation = self._class_for(arg.arg, arg.annotation)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        if _is_any(node.returns):
            node.returns = None
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        if ast.unparse(node.func) not in ("getattr", "hasattr"):
            node.args = [arg for arg in node.args if ast.unparse(arg) != "trt"]
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        # A shape such as "n h w 3" reads as a broken forward reference.
        if ast.unparse(node.value) == "UInt8":
            return ast.copy_location(ast.Name("Any", ast.Load()), node)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        self.generic_visit(node)
        if ast.unparse(node) == "trt = load_tensorrt()":
            return ast.copy_location(ast.Pass(), node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign:
        self.generic_visit(node)
        if isinstance(node.target, ast.Attribute):
            found = self._class_for(node.target.attr, node.annotation)
            node.annotation = found if found is not None else node.annotation
        return node

    @staticmethod
    def _class_for(name: str, annotation: ast.expr | None) -> ast.expr | None:
        if name in CLASSES and _is_any(annotation):
            return ast.parse(f"trt.{CLASSES[name]}", mode="eval").body
        return annotation


def _is_any(annotation: ast.expr | None) -> bool:
    return isinstance(annotation, ast.Name) and annotation.id == "Any"


def typed_copy(into: Path) -> list[Path]:
    """Write the target's side below `into`, with the typed modules; return those modules."""
    source = Path(edgeseg.__file__).parent
    for name in ("core", "lint", "runtime"):
        shutil.copytree(
            source / name,
            into / "edgeseg" / name,
            ignore=lambda folder, names: [n for n in names if "." in n and not n.endswith(".py")],
        )
    for name in ("__init__.py", "errors.py"):
        shutil.copy(source / name, into / "edgeseg" / name)
    return [_write(source / name, into / "edgeseg" / name) for name in MODULES]


def _write(source: Path, target: Path) -> Path:
    tree = Typed().visit(ast.parse(source.read_text(), str(source)))
    future = next(i for i, node in enumerate(tree.body) if isinstance(node, ast.ImportFrom))
    tree.body.insert(future + 1, ast.parse("import tensorrt as trt").body[0])
    target.write_text(ast.unparse(ast.fix_missing_locations(tree)))
    return target
