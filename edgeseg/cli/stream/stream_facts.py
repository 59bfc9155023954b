"""What a report says of a camera run, in words for the terminal."""

from __future__ import annotations

from edgeseg.core.report import Report


def stream_facts(report: Report) -> list[tuple[str, str]]:
    """Return rows of a name and a text; none for what the run did not have."""
    rows = []
    if report.run.get("crf"):
        rows.append(("dense CRF", _crf(report)))
    if report.connection is not None:
        found = report.connection
        rows.append(
            (
                "camera",
                f"{found['state']} at the end, {report.reconnects} reconnects, "
                f"{found['refused']} stale frames refused",
            )
        )
    if report.rate is not None:
        rate = report.rate
        text = f"burst {rate['burst_fps']:.2f} FPS, sustained {rate['sustained_fps']:.2f}"
        if rate["fps_drift"] is not None:
            text += f", drift {100 * rate['fps_drift']:+.1f} %"
        if rate["infer_drift"] is not None:
            text += f" (infer time {100 * rate['infer_drift']:+.1f} %)"
        rows.append(("over time", f"{text} in {rate['seconds']:.0f} s"))
    if report.flicker is not None:
        flicker = report.flicker
        rows.append(
            (
                "flicker",
                f"{flicker['rate']:.4f} of the labels change where the picture stands still "
                f"({100 * flicker['still_share']:.0f} % of it)",
            )
        )
    if report.shadow is not None:
        rows += _shadow(report)
    return rows


def _crf(report: Report) -> str:
    found = report.run["crf"]
    if found["ms_per_frame"] is None:
        return "no frame was refined"
    text = f"{found['ms_per_frame']:.0f} ms a frame"
    infer = report.latency_ms.get("infer")
    if infer is not None and infer.p50 > 0:
        text += f", {min(1.0, found['ms_per_frame'] / infer.p50):.0%} of infer"
    return text


def _shadow(report: Report) -> list[tuple[str, str]]:
    found = report.shadow or {}
    reference = found["reference"]["name"]
    if found["agreement"] is None:
        why = found["error"] or "too short"
        text = f"nothing compared with {reference}, {found['skipped']} frames were due: {why}"
        return [("shadow", text)]
    text = f"agreement {found['agreement']:.4f}, mIoU {found['miou']:.4f} against {reference}"
    text += f" over {found['n']} frames, {found['skipped']} skipped"
    if found["trend_per_1000_frames"] is not None:
        text += f"; trend {found['trend_per_1000_frames']:+.4f} per 1000 frames"
    rows = [("shadow", text)]
    if found["alarms"]:
        rows.append(
            (
                "alarm",
                f"below {found['alarm']:g} {found['alarms']} times, first at frame "
                f"{found['first_alarm_frame']}{', still on' if found['alarm_on'] else ''}",
            )
        )
    if found["harvested"] is not None:
        rows.append(("harvest", f"{found['harvested']} frames saved"))
    if found["error"]:
        rows.append(("shadow ended", found["error"]))
    return rows
