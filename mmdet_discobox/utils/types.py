"""Types that several rooms share."""

from __future__ import annotations

from typing import Any

#: an object of a json file
Json = dict[str, Any]
