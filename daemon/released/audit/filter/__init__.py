"""Filters of lists: a subset of AIP-160, compiled to SQL with parameters.

    filter      = factor { "AND" factor } ;
    factor      = term { "OR" term } ;          (OR binds tighter than AND, as in AIP-160)
    term        = { "NOT" | "-" } ( restriction | "(" filter ")" ) ;
    restriction = field operator value ;

Values are words or quoted strings. What of a restriction is not there (the cause of a release that did
not fail) meets none but NOT; a text that is not there is the empty one. docs/queries.md says it for those
who write filters.
"""

from released.audit.filter.condition import Condition
from released.audit.filter.cursor import LONGEST
from released.audit.filter.events import compile_event_filter, events_of
from released.audit.filter.grammar import DEEPEST, MOST_RESTRICTIONS
from released.audit.filter.releases import compile_filter, within

__all__ = [
    "DEEPEST",
    "LONGEST",
    "MOST_RESTRICTIONS",
    "Condition",
    "compile_event_filter",
    "compile_filter",
    "events_of",
    "within",
]
