"""What every stage configuration is: strict, frozen, and identified by its content."""

import hashlib
import json
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]


class Strict(BaseModel):
    """A model that refuses unknown keys and silent conversions and can't be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def canonical(self) -> dict:
        """Return plain data with every field, ready for JSON or YAML."""
        return self.model_dump(mode="json")

    def identify(self) -> str:
        """Return the id of this stage: SHA-256 of the canonical JSON with the stage's name, ten hex digits."""
        text = json.dumps([type(self).__name__, self.canonical()], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:10]
