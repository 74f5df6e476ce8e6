"""What a check found: as a table for people, as JSON, and as JUnit XML for a pipeline's pages."""

import json
from dataclasses import dataclass
from math import isinf
from typing import Final
from xml.etree import ElementTree

from dashboard.figure_text import measured_text, padded, printable
from dashboard.judgement import Finding, Judgement, Status, Verdict
from dashboard.model import Run

__all__ = ["CheckReport"]

_HEADINGS: Final = ("objective", "measured", "samples", "verdict")
_IN_WORDS: Final = {
    Status.MET: "all objectives are met",
    Status.MISSED: "an objective is missed",
    Status.UNUSABLE: "no verdict, as there is no data for an objective",
    Status.BAD_MEASUREMENT: "no verdict, as the measurement itself is bad",
}


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The judgement of a finished run that took ``seconds``, in several forms."""

    run: Run
    seconds: float
    judgement: Judgement

    def table(self) -> str:
        """Lines of text, the verdict last."""
        judgement = self.judgement
        lines = [printable(f"run {self.run.run}, {self.seconds:.0f} s")]
        lines += padded([_HEADINGS, *map(_row, judgement.findings)])
        lines += [f"bad measurement: {printable(problem)}" for problem in judgement.problems]
        return "\n".join([*lines, _IN_WORDS[judgement.status], ""])

    def as_json(self) -> str:
        """One object; ``measured`` is in seconds, a share from 0 to 1, per second, or a count."""
        judgement = self.judgement
        document = {
            "run": self.run.run,
            "start": self.run.start,
            "end": self.run.end,
            "status": int(judgement.status),
            "verdict": judgement.status.name.lower(),
            "measurement_problems": list(judgement.problems),
            "objectives": [_document(finding) for finding in judgement.findings],
        }
        return json.dumps(document, indent=2, allow_nan=False) + "\n"

    def as_junit(self) -> str:
        """A test suite with a case for each objective, and one for the measurement.

        Where the measurement is bad it alone has an error, and what was missed is skipped.
        """
        suite = ElementTree.Element("testsuite", name="flashgauge check")
        suite.set("time", f"{self.seconds:.3f}")
        problems = self.judgement.problems
        case = self._case(suite, "measurement")
        if problems:
            ElementTree.SubElement(case, "error", message=printable("; ".join(problems)))
        for finding in self.judgement.findings:
            case = self._case(suite, str(finding.objective))
            _, measured, samples, verdict = _row(finding)
            told = f"{verdict}: measured {measured}, {samples} samples"
            if finding.verdict is not Verdict.MET:
                error = "failure" if finding.verdict is Verdict.MISSED else "error"
                ElementTree.SubElement(case, "skipped" if problems else error, message=told)
            ElementTree.SubElement(case, "system-out").text = told
        suite.set("tests", str(len(suite)))
        for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            suite.set(count, str(len(suite.findall(f"testcase/{tag}"))))
        ElementTree.indent(suite)
        text = ElementTree.tostring(suite, encoding="unicode")
        return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'

    def _case(self, suite: ElementTree.Element, name: str) -> ElementTree.Element:
        names = {"classname": printable(self.run.run), "name": printable(name)}
        return ElementTree.SubElement(suite, "testcase", names)


def _document(finding: Finding) -> dict[str, str | float | int | bool | None]:
    objective, value = finding.objective, finding.figure.value
    beyond = value is not None and isinf(value)
    return {
        "objective": str(objective),
        "metric": str(objective.measure),
        "quantile": objective.quantile,
        "region": objective.region,
        "routing": objective.routing,
        "relation": str(objective.relation),
        "bound": objective.bound,
        "measured": None if beyond else value,
        "beyond_last_bucket": beyond,
        "samples": finding.figure.samples,
        "verdict": str(finding.verdict),
    }


def _row(finding: Finding) -> tuple[str, str, str, str]:
    measured = measured_text(finding.figure.value, finding.objective.measure.unit)
    name = printable(str(finding.objective))
    return name, measured, f"{finding.figure.samples:,}", str(finding.verdict)
