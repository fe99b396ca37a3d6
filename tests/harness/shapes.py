"""Classes that a job names by their path, as a DAG author's own module would have them."""

from pydantic import BaseModel, Field

__all__ = ["Line", "Receipt"]


class Line(BaseModel):
    """One line of a receipt."""

    name: str
    price: float = Field(ge=0)


class Receipt(BaseModel):
    """What was bought where."""

    shop: str = Field(min_length=1)
    lines: list[Line]
    best: Line | None = None
