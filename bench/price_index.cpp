// Which index of prices suits an order book? One matching book, compiled with one index after the other.
//
//     price_index FILE INDEX RUNS
//
// applies the operations of a yardstick file to a new book, RUNS times, and prints what each run took and traded. Orders,
// their pool, the map of ids and the events are the same for all; only the way from a price to its level differs.
//
// The book does what Jibek's does: price-time priority, an intrusive queue of orders at each level with the sum of what they
// have left, orders of 32 bytes in a pool whose last freed place is used first, every event written out. Unlike Jibek's it
// checks nothing and finds orders by ids that index an array, as the yardstick does, so that little hides the index.
//
// A price has a key on its side: itself for a bid, its negative for an ask. The better price has the higher key on either
// side, and two orders cross where their keys add up to 0 or more. So each index is written once, for bids.

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include <sys/mman.h>

namespace {

using Key = std::int64_t;
using Word = std::uint64_t;
using Handle = std::uint32_t;  // Where an order is in the pool; 0 is nobody.

constexpr Key no_key = -(Key{1} << 62);  // The best key of a side without orders; no order reaches it.
constexpr Key any_key = -no_key - 1;     // The key of a market order, which crosses whatever there is.
constexpr Key any_reach = std::numeric_limits<Key>::max();

struct Level {
    std::int64_t lots;
    Handle first;
    Handle last;
};

// The levels of one side. Only occupied levels are asked for, and a level that lost its last order is removed at once.
// A place is what an order keeps to find its level again: the key, unless the index has something better.
template <class Index>
concept PriceIndex = requires(Index index, const Index unchanged, Key key, Level level, typename Index::Place place) {
    requires std::constructible_from<Index, Key>;                  // from the lowest key that will come
    { Index::reach } -> std::convertible_to<Key>;                  // how many neighbouring keys it can hold
    { unchanged.best_key() } -> std::same_as<Key>;                 // no_key where there is no level
    { index.best_level() } -> std::same_as<Level &>;
    { index.add(key, place) } -> std::same_as<Level &>;            // the level, made where it is missing, and its place
    { index.level(place) } -> std::same_as<Level &>;
    { Index::key(place) } -> std::same_as<Key>;
    index.remove(place, level);
    requires sizeof(place) == sizeof(Key);
};

// -- what the indexes are made of

int highest_bit(Word word) { return 63 - std::countl_zero(word); }

Word bit(Key index) { return Word{1} << (index & 63); }

Word bits_below(Key index) { return bit(index) - 1; }

// Memory in huge pages where the system has them, as the book and the yardstick do it: random access misses the TLB less.
template <class Item>
struct HugePages {
    using value_type = Item;
    static constexpr std::size_t page_bytes = std::size_t{2} << 20;

    Item *allocate(std::size_t count) {
        const std::size_t bytes = (count * sizeof(Item) + page_bytes - 1) / page_bytes * page_bytes;
        void *memory = std::aligned_alloc(page_bytes, bytes);
        if (memory == nullptr) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
        madvise(memory, bytes, MADV_HUGEPAGE);
#endif
        return static_cast<Item *>(memory);
    }

    void deallocate(Item *memory, std::size_t) { std::free(memory); }

    bool operator==(const HugePages &) const = default;
};

// Objects that are used again, last given back first.
template <class Item>
class Pool {
public:
    Item &take() {
        if (spare.empty()) return items.emplace_back();
        Item &item = *spare.back();
        spare.pop_back();
        return item;
    }

    void give_back(Item &item) { spare.push_back(&item); }

private:
    std::deque<Item> items;
    std::vector<Item *> spare;
};

// -- leaves: what Jibek's book has

// Leaves of 64 neighbouring levels with an occupancy word, held by a 64-ary radix tree that is as high as the prices need. A
// direct-mapped cache leads from a key to its leaf without the tree. engine/ladder.pxd tells the same at length.
class Leaves {
public:
    using Place = Key;
    static constexpr Key reach = any_reach;

    explicit Leaves(Key) {}

    static Key key(Place place) { return place; }

    Key best_key() const { return best; }

    Level &best_level() { return *level_of_best; }

    Level &add(Key key, Place &place) {
        place = key;
        Leaf *leaf = find(key >> 6);
        if (leaf == nullptr) leaf = &grow(key >> 6);
        Level &level = leaf->levels[key & 63];
        if (!(leaf->occupied & bit(key))) {
            leaf->occupied |= bit(key);
            level = {};
            if (key > best) {
                best = key;
                level_of_best = &level;
            }
        }
        return level;
    }

    Level &level(Place key) { return find(key >> 6)->levels[key & 63]; }

    void remove(Place key, Level &) {
        Leaf *leaf = find(key >> 6);
        leaf->occupied &= ~bit(key);
        if (key == best) best_is_gone(*leaf);
        if (leaf->occupied == 0) drop(*leaf);
    }

private:
    struct alignas(64) Leaf {
        Word occupied = 0;
        Key number = 0;  // The upper bits of the keys of its levels.
        std::array<Level, 64> levels;
    };

    struct Branch {
        union Child {
            Branch *branch;
            Leaf *leaf;
        };
        Word occupied = 0;
        std::array<Child, 64> children{};  // At height 1 leaves, above it branches.
    };

    static constexpr int height_max = 10;
    static constexpr std::size_t cache_slots_max = 65'536;

    // A leaf's place in the tree, small for small prices: the number, or its complement where it is negative.
    static Word path_of(Key number) { return static_cast<Word>(number ^ (number >> 63)); }

    static int step(Word path, int height) { return path >> (6 * (height - 1)) & 63; }

    Leaf *&cached(Key number) { return cache[static_cast<Word>(number) & cache_mask]; }

    Leaf *find(Key number) {
        Leaf *leaf = cached(number);
        if (leaf != nullptr && leaf->number == number) [[likely]] return leaf;
        return find_in_tree(number);
    }

    Leaf *find_in_tree(Key number) {
        const Word path = path_of(number);
        if (path >> (6 * height)) return nullptr;
        Branch *branch = root;
        for (int at = height; at > 1; --at) {
            branch = branch->children[step(path, at)].branch;
            if (branch == nullptr) return nullptr;
        }
        Leaf *leaf = branch->children[step(path, 1)].leaf;
        if (leaf != nullptr) cached(number) = leaf;
        return leaf;
    }

    Leaf &grow(Key number) {
        const Word path = path_of(number);
        heighten(path);
        Branch *branch = root;
        for (int at = height; at > 1; --at) {
            Branch::Child &child = branch->children[step(path, at)];
            if (child.branch == nullptr) child.branch = &branches.take();
            branch->occupied |= bit(step(path, at));
            branch = child.branch;
        }
        Leaf &leaf = leaves.take();
        leaf.number = number;
        branch->children[step(path, 1)].leaf = &leaf;
        branch->occupied |= bit(step(path, 1));
        if (++leaf_count > cache.size() && cache.size() < cache_slots_max) widen_cache();
        cached(number) = &leaf;
        return leaf;
    }

    void heighten(Word path) {
        while (path >> (6 * height)) {
            // An empty root is a root of any height; as a child it would be a dead end.
            if (root->occupied) {
                Branch &above = branches.take();
                above.occupied = 1;
                above.children[0].branch = root;
                root = &above;
            }
            ++height;
        }
    }

    void widen_cache() {
        std::vector<Leaf *> narrow(2 * cache.size());
        narrow.swap(cache);
        cache_mask = cache.size() - 1;
        for (Leaf *leaf : narrow) {
            if (leaf != nullptr) cached(leaf->number) = leaf;
        }
    }

    // Takes an empty leaf out of the tree, with the branches that this leaves empty; the root stays.
    void drop(Leaf &leaf) {
        const Word path = path_of(leaf.number);
        std::array<Branch *, height_max + 1> way;
        way[height] = root;
        for (int at = height; at > 1; --at) way[at - 1] = way[at]->children[step(path, at)].branch;
        for (int at = 1; at <= height; ++at) {
            way[at]->children[step(path, at)].branch = nullptr;
            way[at]->occupied &= ~bit(step(path, at));
            if (way[at]->occupied || at == height) break;
            branches.give_back(*way[at]);
        }
        --leaf_count;
        if (cached(leaf.number) == &leaf) cached(leaf.number) = nullptr;
        leaves.give_back(leaf);
    }

    void best_is_gone(Leaf &its_leaf) {
        Leaf *leaf = its_leaf.occupied ? &its_leaf : worse(its_leaf.number);
        if (leaf == nullptr) {
            best = no_key;
            return;
        }
        const int index = highest_bit(leaf->occupied);
        best = leaf->number * 64 + index;
        level_of_best = &leaf->levels[index];
    }

    // The nearest leaf of a lower number than that of a leaf in the tree; nullptr where there is none.
    Leaf *worse(Key number) {
        const Word path = path_of(number);
        const bool upwards = number < 0;  // Worse asks are higher prices, which are further up the path.
        std::array<Branch *, height_max + 1> way;
        way[height] = root;
        for (int at = height; at > 1; --at) way[at - 1] = way[at]->children[step(path, at)].branch;
        for (int at = 1; at <= height; ++at) {
            const int index = step(path, at);
            Word candidates = way[at]->occupied & (upwards ? ~(bits_below(index) | bit(index)) : bits_below(index));
            if (candidates == 0) continue;
            for (Branch *branch = way[at];; candidates = branch->occupied, --at) {
                const Branch::Child child =
                    branch->children[upwards ? std::countr_zero(candidates) : highest_bit(candidates)];
                if (at == 1) return child.leaf;
                branch = child.branch;
            }
        }
        return nullptr;
    }

    Key best = no_key;
    Level *level_of_best = nullptr;
    std::vector<Leaf *> cache = std::vector<Leaf *>(32);
    Word cache_mask = cache.size() - 1;
    std::size_t leaf_count = 0;
    Pool<Leaf> leaves;
    Pool<Branch> branches;
    Branch *root = &branches.take();
    int height = 1;
};

// -- a window

// An array of levels for a fixed range of prices, with a two-level bitmap of those that are occupied. The range is laid where
// the workload's prices are, which a venue would have to know when it opens.
class Window {
public:
    using Place = Key;
    static constexpr Key reach = 32'768;

    explicit Window(Key lowest_key) : lowest(lowest_key), levels(reach) {}

    static Key key(Place place) { return place; }

    Key best_key() const { return best; }

    Level &best_level() { return level(best); }

    Level &add(Key key, Place &place) {
        place = key;
        const Key at = key - lowest;
        if (!(words[at >> 6] & bit(at))) {
            words[at >> 6] |= bit(at);
            occupied_words[at >> 12] |= bit(at >> 6);
            levels[at] = {};
            best = std::max(best, key);
        }
        return levels[at];
    }

    Level &level(Place key) { return levels[key - lowest]; }

    void remove(Place key, Level &) {
        const Key at = key - lowest;
        words[at >> 6] &= ~bit(at);
        if (words[at >> 6] == 0) occupied_words[at >> 12] &= ~bit(at >> 6);
        if (key == best) best = best_below(at);
    }

private:
    // The highest key that is occupied below a place in the window that no longer is.
    Key best_below(Key at) const {
        Key word = at >> 6;
        if (words[word] == 0) {
            Key group = at >> 12;
            while (group >= 0 && occupied_words[group] == 0) --group;
            if (group < 0) return no_key;
            word = group * 64 + highest_bit(occupied_words[group]);
        }
        return lowest + word * 64 + highest_bit(words[word]);
    }

    Key lowest;
    Key best = no_key;
    std::vector<Level> levels;
    std::array<Word, reach / 64> words{};
    std::array<Word, reach / 64 / 64> occupied_words{};  // Which of the words have a bit.
};

// -- sorted vectors

struct Entry {
    Key key;
    Level *level;
};

using Entries = std::vector<Entry>;

struct BinarySearch {
    // The first entry of that key or a higher one.
    static Entries::iterator find(Entries &entries, Key key) {
        return std::ranges::lower_bound(entries, key, {}, &Entry::key);
    }
};

struct LinearSearch {
    // The same, looked for from the best level on.
    static Entries::iterator find(Entries &entries, Key key) {
        auto found = entries.end();
        while (found != entries.begin() && (found - 1)->key >= key) --found;
        return found;
    }
};

// Keys and pointers to levels in a vector, best last, so that what comes and goes at the touch moves few others.
template <class Search>
class SortedVector {
public:
    using Place = Key;
    static constexpr Key reach = any_reach;

    explicit SortedVector(Key) {}

    static Key key(Place place) { return place; }

    Key best_key() const { return entries.empty() ? no_key : entries.back().key; }

    Level &best_level() { return *entries.back().level; }

    Level &add(Key key, Place &place) {
        place = key;
        auto found = Search::find(entries, key);
        if (found == entries.end() || found->key != key) {
            Level &level = levels.take();
            level = {};
            found = entries.insert(found, {key, &level});
        }
        return *found->level;
    }

    Level &level(Place key) { return *Search::find(entries, key)->level; }

    void remove(Place key, Level &level) {
        levels.give_back(level);
        if (key == best_key()) {
            entries.pop_back();
        } else {
            entries.erase(Search::find(entries, key));
        }
    }

private:
    Entries entries;
    Pool<Level> levels;
};

// -- a map

// The standard library's red-black tree, best level first. Orders keep iterators, so only a new order searches.
class Map {
    using Levels = std::map<Key, Level, std::greater<>>;

public:
    using Place = Levels::iterator;
    static constexpr Key reach = any_reach;

    explicit Map(Key) {}

    static Key key(Place place) { return place->first; }

    Key best_key() const { return levels.empty() ? no_key : levels.begin()->first; }

    Level &best_level() { return levels.begin()->second; }

    Level &add(Key key, Place &place) {
        place = levels.try_emplace(key).first;
        return place->second;
    }

    Level &level(Place place) { return place->second; }

    void remove(Place place, Level &) { levels.erase(place); }

private:
    Levels levels;
};

// -- the workload

enum Kind : std::uint8_t { limit, cancel, market, replace };

// A record of the file.
struct Operation {
    Kind kind;
    std::uint8_t is_ask;
    std::uint16_t zero;
    std::uint32_t id;
    std::uint32_t new_id;
    std::int32_t price;
    std::int32_t lots;
};
static_assert(sizeof(Operation) == 20);

struct Workload {
    std::size_t preloaded;
    std::uint32_t largest_id;
    std::vector<Operation> operations;
    Key lowest_price = any_key;
    Key highest_price = 0;
};

[[noreturn]] void fail(const std::string &sentence) {
    std::fprintf(stderr, "%s\n", sentence.c_str());
    std::exit(1);
}

Workload read_workload(const std::string &name) {
    struct {
        std::array<char, 4> magic;
        std::uint32_t preloaded, operations, largest_id;
    } header;
    std::ifstream file(name, std::ios::binary);
    file.read(reinterpret_cast<char *>(&header), sizeof header);
    if (!file || std::string_view(header.magic.data(), 4) != "OBW1") fail(name + " is not a workload");
    Workload workload{header.preloaded, header.largest_id, {}};
    workload.operations.resize(std::size_t{header.preloaded} + header.operations);
    file.read(reinterpret_cast<char *>(workload.operations.data()), workload.operations.size() * sizeof(Operation));
    if (!file) fail(name + " is too short");
    for (const Operation &operation : workload.operations) {
        if (operation.kind != limit && operation.kind != replace) continue;
        workload.lowest_price = std::min<Key>(workload.lowest_price, operation.price);
        workload.highest_price = std::max<Key>(workload.highest_price, operation.price);
    }
    return workload;
}

// -- the book

template <PriceIndex Index>
class Book {
public:
    explicit Book(const Workload &workload)
        : sides{Index(workload.lowest_price), Index(-workload.highest_price)},
          handles(std::size_t{workload.largest_id} + 1),
          events(events_kept) {
        // Enough for all, so that the pool never moves; what is not used is never touched.
        orders.reserve(workload.operations.size() + 1);
        orders.emplace_back();
    }

    void apply(const Operation &operation) {
        switch (operation.kind) {
            case limit: return place(operation.id, operation.is_ask, operation.price, operation.lots);
            case cancel: return take_back(operation.id);
            case market: return trade_only(operation.id, operation.is_ask, operation.lots);
            case replace:
                take_back(operation.id);
                return place(operation.new_id, operation.is_ask, operation.price, operation.lots);
        }
    }

    std::uint64_t trades = 0;
    std::uint64_t checksum = 0;

private:
    // Two of them fill a cache line.
    struct alignas(32) Order {
        typename Index::Place place;
        std::int64_t lots;
        std::uint32_t id;
        Handle next;
        Handle previous;
    };
    static_assert(sizeof(Order) == 32);

    enum class EventKind : std::uint32_t { rejected, accepted, traded, cancelled };

    struct Event {
        EventKind kind;
        std::uint32_t id;
        std::uint32_t maker_id;
        std::uint32_t reserved;
        std::int64_t price;
        std::int64_t lots;
    };

    // About as many as a batch of 4,096 operations has; then the first is written over.
    static constexpr std::size_t events_kept = 8'192;

    void write(EventKind kind, std::uint32_t id, std::uint32_t maker_id, Key price, std::int64_t lots) {
        events[event_count++ % events_kept] = {kind, id, maker_id, 0, price, lots};
    }

    void place(std::uint32_t id, bool is_ask, Key price, std::int64_t lots) {
        const Key key = is_ask ? -price : price;
        write(EventKind::accepted, id, 0, price, lots);
        lots = match(id, sides[!is_ask], key, lots);
        if (lots > 0) rest(id, sides[is_ask], key, lots);
    }

    void trade_only(std::uint32_t id, bool is_ask, std::int64_t lots) {
        write(EventKind::accepted, id, 0, 0, lots);
        match(id, sides[!is_ask], any_key, lots);
    }

    // Trades with whoever crosses the key, and returns the lots that are left.
    std::int64_t match(std::uint32_t id, Index &makers, Key key, std::int64_t lots) {
        while (lots > 0 && makers.best_key() + key >= 0) {
            const Key price = std::abs(makers.best_key());
            Level &level = makers.best_level();
            while (lots > 0) {
                Order &maker = orders[level.first];
                const std::int64_t traded = std::min(lots, maker.lots);
                lots -= traded;
                maker.lots -= traded;
                level.lots -= traded;
                ++trades;
                checksum += price * traded;
                write(EventKind::traded, id, maker.id, price, traded);
                if (maker.lots > 0) break;
                const Handle filled = level.first;
                level.first = maker.next;
                forget(filled);
                if (level.first == 0) {
                    makers.remove(maker.place, level);
                    break;
                }
                orders[level.first].previous = 0;
            }
        }
        return lots;
    }

    void rest(std::uint32_t id, Index &side, Key key, std::int64_t lots) {
        const Handle handle = new_handle();
        Order &order = orders[handle];
        Level &level = side.add(key, order.place);
        order.id = id;
        order.lots = lots;
        order.next = 0;
        order.previous = level.last;
        (level.last ? orders[level.last].next : level.first) = handle;
        level.last = handle;
        level.lots += lots;
        handles[id] = handle;
    }

    void take_back(std::uint32_t id) {
        const Handle handle = handles[id];
        if (handle == 0) return write(EventKind::rejected, id, 0, 0, 0);
        Order &order = orders[handle];
        const Key key = Index::key(order.place);
        Index &side = sides[key < 0];
        Level &level = side.level(order.place);
        write(EventKind::cancelled, id, 0, std::abs(key), order.lots);
        level.lots -= order.lots;
        (order.previous ? orders[order.previous].next : level.first) = order.next;
        (order.next ? orders[order.next].previous : level.last) = order.previous;
        forget(handle);
        if (level.first == 0) side.remove(order.place, level);
    }

    Handle new_handle() {
        if (free_handle == 0) {
            orders.emplace_back();
            return static_cast<Handle>(orders.size() - 1);
        }
        const Handle handle = free_handle;
        free_handle = orders[handle].next;
        return handle;
    }

    // The order is no longer found and its place in the pool is free, but it can be read until the next one rests.
    void forget(Handle handle) {
        Order &order = orders[handle];
        handles[order.id] = 0;
        order.next = free_handle;
        free_handle = handle;
    }

    std::array<Index, 2> sides;  // Bids, then asks.
    std::vector<Order, HugePages<Order>> orders;
    Handle free_handle = 0;
    std::vector<Handle, HugePages<Handle>> handles;
    std::vector<Event> events;
    std::size_t event_count = 0;
};

// -- the measurement

template <PriceIndex Index>
void measure(const Workload &workload, int runs) {
    if (workload.highest_price - workload.lowest_price >= Index::reach) {
        std::puts("{\"outside\": true}");
        return;
    }
    const auto measured = workload.operations.begin() + workload.preloaded;
    for (int run = 0; run < runs; ++run) {
        Book<Index> book(workload);
        std::for_each(workload.operations.begin(), measured, [&](const Operation &it) { book.apply(it); });
        const auto start = std::chrono::steady_clock::now();
        std::for_each(measured, workload.operations.end(), [&](const Operation &it) { book.apply(it); });
        const std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - start;
        std::printf("{\"nanoseconds\": %.3f, \"trades\": %llu, \"checksum\": %llu}\n",
                    taken.count() / static_cast<double>(workload.operations.end() - measured),
                    static_cast<unsigned long long>(book.trades), static_cast<unsigned long long>(book.checksum));
    }
}

const std::map<std::string_view, void (*)(const Workload &, int)> indexes = {
    {"leaves", measure<Leaves>},
    {"window", measure<Window>},
    {"binary", measure<SortedVector<BinarySearch>>},
    {"linear", measure<SortedVector<LinearSearch>>},
    {"map", measure<Map>},
};

}  // namespace

int main(int count, char **arguments) {
    if (count != 4 || !indexes.contains(arguments[2])) fail("usage: price_index FILE leaves|window|binary|linear|map RUNS");
    indexes.at(arguments[2])(read_workload(arguments[1]), std::atoi(arguments[3]));
}
