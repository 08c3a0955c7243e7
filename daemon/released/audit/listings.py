"""What can be listed, and in which orders."""

from released.audit.filter.events import SEQUENCE
from released.audit.filter.releases import CREATE_TIME, DURATION, END_TIME
from released.audit.search import Listing, Order

RELEASES = Listing(
    "releases",
    "accept_sequence",
    CREATE_TIME,
    (("application = ?", "environment = ?"), ("state = ?", "outcome IS ?")),
)
EVENTS = Listing("events", "sequence", SEQUENCE)

RELEASE_ORDERS = {"create_time": CREATE_TIME, "end_time": END_TIME, "duration": DURATION}
EVENT_ORDERS = {"sequence": SEQUENCE}

NEWEST_FIRST = Order(CREATE_TIME, descending=True)
OLDEST_FIRST = Order(SEQUENCE, descending=False)
