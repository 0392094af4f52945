"""The book of what was told: nothing twice, nothing passed over, and no more remembered than may come again."""

from hubspot_meetings_async.sync.cursor import BinMark, LiveMark
from hubspot_meetings_async.sync.progress import BinBook, LiveBook


class TestLive:
    def test_the_mark_stays_where_search_may_still_show_more(self) -> None:
        book = LiveBook(LiveMark())
        book.reached(900, 5, settled_ms=1_000)
        assert book.mark() == LiveMark(ms=900, id=5)
        book.reached(1_200, 6, settled_ms=1_000)
        assert book.mark() == LiveMark(ms=1_000)

    def test_the_mark_passes_no_gap(self) -> None:
        """What a later answer settles lies behind a page that has to be read again."""
        book = LiveBook(LiveMark())
        book.reached(1_200, 0, settled_ms=1_000)
        book.reached(1_500, 0, settled_ms=2_000)
        assert book.mark() == LiveMark(ms=1_000)

    def test_what_was_told_beyond_is_known(self) -> None:
        """Each version once, a later one again; an older one, which an index may still show, not."""
        book = LiveBook(LiveMark(ms=1_000))
        book.told(1_200, 5)
        again = LiveBook(book.mark())
        assert again.knows(1_200, 5)
        assert again.knows(1_100, 5)
        assert not again.knows(1_300, 5)
        assert not again.knows(1_200, 6)
        assert again.knows(999, 6)

    def test_nothing_is_remembered_longer_than_needed(self) -> None:
        book = LiveBook(LiveMark())
        book.told(1_000, 5)
        book.told(1_100, 6)
        book.told(1_200, 5)
        book.reached(1_100, 6, settled_ms=9_999)
        assert book.mark() == LiveMark(ms=1_100, id=6, told=LiveBook(LiveMark(told=book.mark().told)).mark().told)
        assert book.knows(1_200, 5)
        book.reached(1_200, 5, settled_ms=9_999)
        assert book.mark() == LiveMark(ms=1_200, id=5)

    def test_the_mark_never_goes_back(self) -> None:
        book = LiveBook(LiveMark(ms=1_000, id=7))
        book.reached(900, 0, settled_ms=800)
        assert book.mark() == LiveMark(ms=1_000, id=7)


class TestBin:
    def test_a_listing_tells_what_was_archived_since_the_last_one(self) -> None:
        book = BinBook(BinMark())
        book.begin(1_000)
        assert not book.knows(900, 5)
        book.told(900, 5)
        book.told(1_100, 6)
        book.turn(None)
        again = BinBook(book.mark())
        again.begin(2_000)
        assert again.knows(900, 5)
        assert again.knows(1_100, 6), "it was archived while the first listing was under way, and told"
        assert not again.knows(1_050, 4), "it was archived while the first listing was beyond it"
        assert not again.knows(1_500, 6), "it was restored and archived again"

    def test_a_listing_goes_on_amidst_a_page(self) -> None:
        book = BinBook(BinMark())
        book.begin(1_000)
        book.told(900, 5)
        book.turn("7")
        book.told(None, 7)
        again = BinBook(book.mark())
        again.begin(5_000)
        assert (again.after, again.began_ms) == ("7", 1_000)
        assert again.knows(None, 7)
        assert not again.knows(None, 8)
        again.turn(None)
        assert again.mark() == BinMark(since_ms=1_000)
