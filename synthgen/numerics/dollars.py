"""Write amounts of US dollars in words."""


def dollars(usd: float) -> str:
    """Return `$1,234.50`, or `$0.0123` below a dollar."""
    return f"${usd:,.2f}" if usd >= 1 or usd == 0 else f"${usd:.4f}"


def of_budget(usd: float | None, budget: float | None) -> str:
    """Return `$0.0123 of $5.00`, or `$0.0123` without a budget; an empty text where no price is known."""
    if budget is not None:
        return f"{dollars(usd or 0.0)} of {dollars(budget)}"
    return "" if usd is None else dollars(usd)
