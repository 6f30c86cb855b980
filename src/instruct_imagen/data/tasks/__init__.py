"""Tasks: from the starter world to instructions with references and answers."""

from __future__ import annotations

from instruct_imagen.data.tasks.base import Task, TemplateError
from instruct_imagen.data.tasks.registry import all_tasks

__all__ = ["Task", "TemplateError", "all_tasks"]
