"""A page of feedback for each student."""

from __future__ import annotations

import hashlib
import html
import re
from pathlib import Path

from mclass._utils.files import replacing
from mclass_grading.judge import Grade
from mclass_grading.notebooks import ANSWER, Homework

_MAX_NAME = 100  # characters of a file's name; some systems count bytes, and take 255


def write(homework: Homework, result: Grade, folder: Path, names: Names | None = None) -> Path:
    """Write a student's page: points, and why they are not more. Returns its path."""
    escape, rows = html.escape, []
    for cell in homework.tests:
        earned, message = result.points.get(cell.grade_id, 0.0), result.messages.get(cell.grade_id, "passed")
        rows.append(
            f"<tr><th scope=row>{escape(cell.grade_id)}</th><td>{earned:g} of {cell.points:g}</td>"
            f"<td>{escape(message)}</td></tr>"
        )
    rows += [
        f"<tr><th scope=row>{escape(cell.grade_id)}</th><td>– of {cell.points:g}</td><td>graded by hand</td></tr>"
        for cell in homework.manual
    ]
    total = f"{result.total(homework):g} of {sum(homework.questions.values()):g}"
    answers = "".join(
        f"<h2>Your answer to {escape(name)}</h2><pre>{escape('not answered' if text == ANSWER else text)}</pre>"
        for name, text in result.answers.items()
    )
    remarks = "".join(f"<li>{escape(one)}</li>" for one in result.remarks)
    page = _PAGE.format(
        title=escape(f"{homework.name}: {result.student}"),
        total=total,
        rows="\n".join(rows),
        remarks=f"<h2>Remarks</h2><ul>{remarks}</ul>" if remarks else "",
        answers=answers,
        how=_HOW[result.isolation],
    )
    path = folder / f"{(names or Names()).of(result.student)}.html"
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


class Names:
    """Names of files for students, such that no two share one, whatever letters a file system takes for equal."""

    def __init__(self):
        self.taken: dict[str, str] = {}

    def of(self, student: str) -> str:
        """The name of a student's file, without its ending.

        Examples
        --------
        >>> names = Names()
        >>> names.of("Ada Lovelace"), names.of("ada!"), names.of("ada?"), names.of("ADA LOVELACE")
        ('Ada Lovelace', 'ada_-0ab374', 'ada_-00bd61', 'ADA LOVELACE-bbdd1f')
        """
        name = re.sub(r"[^\w .@+-]", "_", student).strip(". ")
        if name != student or not name or len(name.encode()) > _MAX_NAME or self._other(name, student):
            number = hashlib.sha256(student.encode("utf-8", "surrogatepass")).hexdigest()[:6]
            short = name.encode()[:_MAX_NAME].decode(errors="ignore")
            name = f"{short or 'student'}-{number}"
        self.taken[name.casefold()] = student
        return name

    def _other(self, name: str, student: str) -> bool:
        return self.taken.get(name.casefold(), student) != student


_HOW = {
    "bwrap": "It was run in a sandbox.",
    "none": "It was run without a sandbox.",
    "": "It was not run.",
}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; }}
th, td {{ text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; }}
pre {{ white-space: pre-wrap; }}
</style></head><body><main>
<h1>{title}</h1>
<p>{total} points in the questions that are graded by running them.</p>
<table><thead><tr><th scope=col>Test</th><th scope=col>Points</th><th scope=col>What was found</th></tr></thead>
<tbody>
{rows}
</tbody></table>
{remarks}
{answers}
<p>{how}</p>
</main></body></html>
"""
