"""What an address or an account has used within an interval, in C, because each order counts three times."""

from libc.stdint cimport int64_t

from gateway.view.accounts cimport Account

cdef int64_t TEN_SECONDS_MS = 10_000, DAY_MS = 86_400_000


cdef class Usage:
    """What one name (an address, an account) has used within the present interval. Cost of `add`: a few additions."""

    def __init__(self):
        self.interval = -1

    cpdef bint add(self, int64_t weight, int64_t interval, int64_t limit) noexcept:
        """Counts `weight` in the interval of this number; False, and nothing is counted, where that passes the limit."""
        if interval != self.interval:
            self.interval = interval
            self.count = 0
        if weight > limit - self.count:
            return False
        self.count += weight
        return True

    cpdef int64_t count_in(self, int64_t interval) noexcept:
        """What was counted in the interval of this number, if none has begun since."""
        return self.count if interval == self.interval else 0


cdef class AddressUsage(Usage):
    """What an address has used within the present interval: strangers and accounts of the tier `default` together, and the
    accounts of each other tier by themselves, so that a busy market maker does not use up what strangers may."""

    cpdef Usage of(self, account):
        """The usage that counts for an account; for None the strangers'. There is one for each tier that has asked."""
        cdef object usage
        if account is None or not (<Account>account).tier:
            return self
        if self._by_tier is None:
            self._by_tier = {}
        usage = self._by_tier.get((<Account>account).tier)
        if usage is None:
            usage = self._by_tier[(<Account>account).tier] = Usage()
        return <Usage>usage


cdef class OrderUsage:
    """The new orders of an account that were not filled, in the last ten seconds and on the last day in which it sent any."""

    def __init__(self):
        self.ten_seconds = Usage()
        self.day = Usage()

    def add(self, int64_t now_ms, int64_t ten_seconds_max, int64_t day_max):
        """Counts an order; 0, or where it is one too many, and is not counted, the seconds of that interval."""
        if not self.ten_seconds.add(1, now_ms // TEN_SECONDS_MS, ten_seconds_max):
            return 10
        if not self.day.add(1, now_ms // DAY_MS, day_max):
            self.ten_seconds.count -= 1
            return 86_400
        return 0

    def first_fill(self):
        """One order less counts as unfilled."""
        for usage in (self.ten_seconds, self.day):
            if usage.count:
                usage.count -= 1

    def counts(self, int64_t now_ms):
        """How many count now, in ten seconds and in the day."""
        return self.ten_seconds.count_in(now_ms // TEN_SECONDS_MS), self.day.count_in(now_ms // DAY_MS)
