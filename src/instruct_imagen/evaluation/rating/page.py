"""The rating page: one component of Gradio, driven from the keyboard.

It asks nothing of other machines: no analytics, no share link, fonts of the system.
"""

from __future__ import annotations

import json
import os
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.rating.desk import RatingDesk
from instruct_imagen.evaluation.rating.guideline import GUIDELINE, SCALES

if TYPE_CHECKING:
    import gradio

HOST = "127.0.0.1"


def rating_page(desk: RatingDesk) -> gradio.Blocks:
    """The page of a desk.

    Raises:
        EvaluationError: Gradio is not installed.
    """
    gradio = _gradio()
    words = f"const scales = {json.dumps(SCALES)}, guideline = {json.dumps(GUIDELINE)};\n"

    def ask(question: dict[str, Any]) -> dict[str, Any]:
        return desk.ask(question)

    with gradio.Blocks(title="Rate images", analytics_enabled=False, fill_width=True) as page:
        gradio.HTML(
            html_template=_file("page.html"),
            js_on_load=words + _file("page.js"),
            server_functions=[ask],
            apply_default_css=False,
            padding=False,
        )
    return page


def serve(desk: RatingDesk, *, port: int, host: str = HOST) -> None:
    """Serves the page until it is interrupted.

    Raises:
        OSError: The port is taken.
    """
    gradio = _gradio()
    # gradio asks its own page whether it is there, and must not ask a proxy for it
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "localhost", HOST, host]))
    page = rating_page(desk)
    page.launch(
        prevent_thread_lock=True,
        server_name=host,
        server_port=port,
        share=False,
        inbrowser=False,
        quiet=True,
        footer_links=[],
        ssr_mode=False,
        enable_monitoring=False,
        theme=gradio.themes.Base(
            font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
        ),
        css=_file("page.css"),
    )
    print(f"rating page at http://{host}:{port} (ends with ctrl-c)", flush=True)
    page.block_thread()


def _gradio() -> Any:
    # read when gradio is imported and at every launch
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio
    except ModuleNotFoundError as error:
        raise EvaluationError(
            "the rating page needs gradio: pip install 'instruct-imagen[evaluation]'"
        ) from error
    return gradio


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
