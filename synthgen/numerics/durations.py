"""Format durations for people."""


def duration(seconds: float) -> str:
    """Return `7 s`, `1 min 05 s` or `1 h 02 min`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
