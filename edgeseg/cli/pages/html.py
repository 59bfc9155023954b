"""HTML pages that stand alone: style, pictures and charts are inside the one file."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeseg.core.charts import STYLE
from edgeseg.core.files import atomic_write_text
from edgeseg.core.text.names import printable
from edgeseg.errors import SinkError

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

TEMPLATES = Path(__file__).parent / "templates"


def write_page(path: Path, template: str, **context: Any) -> None:
    """Fill a template of edgeseg/cli/pages/templates and write it to `path`.

    SVG and picture values must be wrapped with `markup`; everything else is escaped.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["chart_style"] = markup(STYLE)
    text = environment.get_template(template).render(**context)
    # Jinja escapes mark-up, not what steers a terminal that shows the file or reorders its text.
    atomic_write_text(path, printable(text))


def markup(text: str) -> Any:
    """Mark text as HTML that must not be escaped."""
    import markupsafe

    return markupsafe.Markup(text)


def picture(rgb: UInt8[np.ndarray, "h w 3"], *, photo: bool = False) -> str:
    """Return a picture as a data URI: PNG, or JPEG for a photo, at a fifth of the bytes.

    Raises:
        SinkError: the picture cannot be encoded.
    """
    import cv2

    kind, ending = ("jpeg", ".jpg") if photo else ("png", ".png")
    done, data = cv2.imencode(ending, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    if not done:
        raise SinkError(f"a picture of {rgb.shape} cannot be encoded as {kind}")
    return f"data:image/{kind};base64," + base64.b64encode(data.tobytes()).decode()
