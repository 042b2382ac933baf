"""Which label to ask for next, so that the accepted samples come out balanced."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence


class LabelBalance:
    """Assigns a label to each group of slots from what was settled before it.

    The label with the least expected accepted samples is next: those accepted so far, and those
    under way times the label's acceptance rate. No label gets more than `cap` times its fair
    share of the slots, so that one the generator cannot write does not eat the run.
    """

    def __init__(self, labels: Sequence[str], cap: float = 2.0) -> None:
        self._labels = labels
        self._cap = cap
        self._groups: list[tuple[int, int, str]] = []
        self._planned: Counter[str] = Counter()
        self._open: int = 0
        self._known: Counter[str] = Counter()

    def record(self, first_slot: int, size: int, label: str) -> None:
        """Tells of a planned group; groups come in slot order."""
        self._groups.append((first_slot, size, label))
        self._planned[label] += size

    def next(
        self,
        before: int,
        accepted: Callable[[str], int],
        enough: int | None = None,
        needs: Mapping[str, float] | None = None,
    ) -> str:
        """The label of the next group; `accepted` counts samples from slots below `before`.

        A label that has `enough` is not asked for while another has not. One with twice the need is to get twice as many.
        """
        while self._open < len(self._groups) and sum(self._groups[self._open][:2]) <= before:
            _, size, label = self._groups[self._open]
            self._known[label] += size
            self._open += 1
        total = sum(self._planned.values())

        def expected(label: str) -> float:
            have, asked = accepted(label), self._known[label]
            rate = (have + 1) / (asked + 2)
            return (have + (self._planned[label] - asked) * rate) / (needs[label] if needs else 1.0)

        fair = total / len(self._labels)
        wanting = [label for label in self._labels if enough is None or accepted(label) < enough] or list(self._labels)
        allowed = [label for label in wanting if self._planned[label] <= self._cap * fair] or wanting
        return min(allowed, key=lambda label: (expected(label), self._planned[label]))
