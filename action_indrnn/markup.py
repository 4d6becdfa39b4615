"""HTML and SVG as text in which nothing from outside can be taken for a tag."""

from html import escape

Attribute = str | float | None
_VOID = {"meta", "br", "input"}


class Markup(str):
    """Text that is HTML or SVG already; any other text is escaped where it enters an element."""

    __slots__ = ()


def element(name: str, /, *children: str | float | None, **attributes: Attribute) -> Markup:
    """Returns an element.

    Args:
        name: of the tag.
        children: markup as it is, any other text escaped, numbers as they print; none is left out.
        attributes: an underscore behind the name is dropped, others become dashes; none is left out.
    """
    head = name + "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{head}>")
    return Markup(f"<{head}>{join(*children)}</{name}>")


def join(*children: str | float | None) -> Markup:
    """Returns pieces behind one another, escaped where they are no markup."""
    return Markup(
        "".join(
            child if isinstance(child, Markup) else escape(str(child))
            for child in children
            if child is not None
        )
    )


def table(
    caption: str,
    head: list[str],
    rows: list[list[str | float]],
    *,
    numbers: bool = True,
    class_: str | None = None,
    row_heads: int = 1,
) -> Markup:
    """Returns a table whose first cells head their rows.

    Args:
        caption: says what the table holds.
        head: of the columns.
        rows: their cells.
        numbers: whether the other cells are numbers, which stand to the right.
        class_: more classes, for the page's style and script.
        row_heads: how many cells of a row stand to the left; the first of them heads it.
    """
    kinds = ["" if place < row_heads or not numbers else "number" for place in range(len(head))]
    heads = [
        element("th", text, scope="col", class_=kind or None) for text, kind in zip(head, kinds, strict=True)
    ]
    body = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            *(
                element("td", cell, class_=kind or None)
                for cell, kind in zip(row[1:], kinds[1:], strict=True)
            ),
        )
        for row in rows
    ]
    inner = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *heads)),
        element("tbody", *body),
        class_=class_,
    )
    return element("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)
