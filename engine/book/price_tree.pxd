"""The prices of one side of an order book: which of them have orders, which of those is the best, which comes next.

**Structure.** Prices are in leaves of 32 neighbours, each an array of levels and an occupancy word. A 64-ary radix tree of
branches holds the leaves; every branch has an occupancy word, and every leaf and branch a pointer to its parent:
the next occupied price is found by looking upwards from where one is. A direct-mapped cache leads from a price to its leaf
without touching the tree. What an order keeps is a pointer to its level, a level says its price, and the address of a level
gives that of its leaf, so an order that is filled or cancelled needs neither cache nor tree.

A price has a *key* on its side: itself for a bid, its negative for an ask. The better price has the higher key on either
side, and two orders cross where their keys add up to 0 or more. So one code serves both sides without a branch, which a
processor would guess wrong every second time.

A leaf that loses its last order stays where it is, with its bit cleared in the branch, because prices that were in use are
likely to be so again: where levels are far apart, nearly every order would make a leaf and nearly every cancel drop one.
When more leaves are empty than occupied, and they are some hundred or a new leaf is needed, the empty ones go.

**Why this one.** Prices cluster around the touch, where a plain array is unbeatable, but may wander over any range, where
an array is out of memory. The leaves are that array, cut into pieces that exist only where there are orders: a crash to
one tick and back, or levels spread over a million ticks, touch some leaves more. Sorted vectors of levels, a fixed window
and a balanced tree were measured against it; docs/performance.md has the figures and the command.

**Cost.** Best price, level of a price in the cache: O(1). A price that is not in the cache, a leaf that is new, and a next
price that is outside the leaf, walk the tree: at most (bits of the highest price - 5) / 6 steps, 1 or 2 in practice. Growing
the cache and dropping the empty leaves cost O(leaves), which is O(1) amortised. Memory: 1 KB for 32 neighbouring prices of
which at least one has, or lately had, an order.

**Source.** The occupancy words are those of geseq/cpp-orderbook's bitmap, hung into a radix tree as Linux does for its page
cache. Leaves come in slabs, of which those that are free go back, as in Bonwick's slab allocator.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from engine.book.memory cimport (
    jibek_allocate,
    jibek_allocate_at,
    jibek_assert,
    jibek_highest_bit,
    jibek_likely,
    jibek_lowest_bit,
    jibek_unlikely,
)
from engine.records cimport AMOUNT_MAX

cdef extern from * nogil:
    """
    #define JIBEK_EMPTY_KEY (-JIBEK_AMOUNT_MAX - 1)

    /* What an unused slot of a cache points to: it looks like a leaf of a number that none has. */
    static struct {
        uint64_t occupied;
        int64_t number;
        char padding[1024 - 16];
    } jibek_no_leaf = {0, INT64_MIN, ""};
    /* A cache of one slot that is never filled: it lets a side without leaves be looked up like any other. */
    static void *jibek_no_leaves[1] = {&jibek_no_leaf};
    """
    # Best key of a side without orders; no key of an order reaches it.
    const int64_t EMPTY_KEY "JIBEK_EMPTY_KEY"
    void* NO_LEAF "((void *)&jibek_no_leaf)"
    void* NO_LEAVES "((void *)jibek_no_leaves)"

cdef enum:
    # A leaf has this many levels, two to the LEAF_BITS, and its address is a multiple of LEAF_SIZE.
    LEAF_BITS = 5
    LEAF_LEVELS = 32
    LEAF_SIZE = 1024
    LEAF_CACHE_SLOTS_MIN = 128
    LEAF_CACHE_SLOTS_MAX = 65536
    # Empty leaves that may be kept beyond as many as there are occupied ones: by a side, and by all sides together.
    EMPTY_LEAVES_OF_SIDE = 2
    EMPTY_LEAVES_OF_ALL = 512
    # The leaves of the first slab, 32 KB with its header, and of the largest, 64 KB.
    SLAB_LEAVES_MIN = 31
    SLAB_LEAVES_MAX = 63
    # Branches that come with a slab, and how many are kept.
    BRANCHES_A_SLAB = 2
    SPARE_BRANCHES_MAX = 64

cdef struct Level:
    # The queue at one price; meaningful only where the leaf's bit is set.
    int64_t key
    int64_t quantity_lots
    uint32_t first
    uint32_t last

cdef struct Branch:
    # Children with an order below them.
    uint64_t occupied
    # At height 1 the children are leaves, above it branches.
    void* children[64]
    Branch* parent
    # Which child of its parent it is.
    uint32_t index
    uint32_t child_count

cdef struct LeafSlab

cdef struct Leaf:
    uint64_t occupied
    # The upper bits of the keys of its levels.
    int64_t number
    Branch* parent
    LeafSlab* slab
    # Of a free leaf: the next free one of its slab.
    Leaf* next_free
    Level levels[LEAF_LEVELS]

cdef struct LeafSlab:
    # Leaves that were allocated together, after this header.
    Leaf* free
    uint32_t leaf_count
    uint32_t free_count
    # Among the slabs with a free leaf.
    LeafSlab* next
    LeafSlab* previous

cdef struct LeafStock:
    # The free leaves and branches of all sides of all books that one owner has.
    LeafSlab* slabs
    Branch* branches
    uint32_t branch_count
    uint32_t leaf_count
    uint32_t free_count
    # Of the leaves that are in trees.
    uint32_t empty_count

cdef struct PriceTree:
    int64_t best_key
    # The level of the best key; meaningful only where the side has orders.
    Level* best_level
    Leaf** cache
    uint64_t cache_mask
    Branch* root
    int height
    uint32_t leaf_count
    uint32_t empty_count


cdef inline void tree_init(PriceTree* tree) noexcept nogil:
    memset(tree, 0, sizeof(PriceTree))
    tree.best_key = EMPTY_KEY
    tree.cache = <Leaf**>NO_LEAVES


# -- leaves and branches outside the trees


cdef inline Branch* stock_acquire_branch(LeafStock* stock) noexcept nogil:
    """A branch without children; NULL where memory is out."""
    cdef Branch* branch = stock.branches
    if branch == NULL:
        return <Branch*>calloc(1, sizeof(Branch))
    stock.branches = branch.parent
    stock.branch_count -= 1
    memset(branch, 0, sizeof(Branch))
    return branch


cdef inline void stock_release_branch(LeafStock* stock, Branch* branch) noexcept nogil:
    if stock.branch_count == SPARE_BRANCHES_MAX:
        free(branch)
        return
    branch.parent = stock.branches
    stock.branches = branch
    stock.branch_count += 1


cdef inline void stock_list_slab(LeafStock* stock, LeafSlab* slab) noexcept nogil:
    """Puts a slab first among those with a free leaf."""
    slab.previous = NULL
    slab.next = stock.slabs
    if stock.slabs != NULL:
        stock.slabs.previous = slab
    stock.slabs = slab


cdef inline void stock_unlist_slab(LeafStock* stock, LeafSlab* slab) noexcept nogil:
    if slab.previous != NULL:
        slab.previous.next = slab.next
    else:
        stock.slabs = slab.next
    if slab.next != NULL:
        slab.next.previous = slab.previous


cdef inline bint stock_add_slab(LeafStock* stock) noexcept nogil:
    """More free leaves, half as many again as there are, and spare branches; False where memory is out."""
    cdef uint32_t count = stock.leaf_count // 2
    cdef uint32_t index
    cdef LeafSlab* slab
    cdef Leaf* leaf
    cdef Branch* branch
    count = count if count > SLAB_LEAVES_MIN else SLAB_LEAVES_MIN
    count = count if count < SLAB_LEAVES_MAX else SLAB_LEAVES_MAX
    # The header takes the place of a leaf, so that leaves are at multiples of their size.
    slab = <LeafSlab*>jibek_allocate_at(LEAF_SIZE, (count + 1) * LEAF_SIZE)
    if slab == NULL:
        return False
    # Cleared, so that who only guesses at a level reads nothing that was never written.
    memset(slab, 0, (count + 1) * LEAF_SIZE)
    slab.leaf_count = count
    slab.free_count = count
    for index in range(count, 0, -1):
        leaf = <Leaf*>(<char*>slab + index * LEAF_SIZE)
        leaf.slab = slab
        leaf.next_free = slab.free
        slab.free = leaf
    stock.leaf_count += count
    stock.free_count += count
    stock_list_slab(stock, slab)
    for index in range(BRANCHES_A_SLAB):
        branch = <Branch*>calloc(1, sizeof(Branch))
        if branch != NULL:
            stock_release_branch(stock, branch)
    return True


cdef inline Leaf* stock_acquire_leaf(LeafStock* stock) noexcept nogil:
    """A leaf outside the trees; NULL where memory is out."""
    cdef LeafSlab* slab
    cdef Leaf* leaf
    if stock.slabs == NULL and not stock_add_slab(stock):
        return NULL
    slab = stock.slabs
    leaf = slab.free
    # A slab that is listed has a free leaf.
    jibek_assert(leaf != NULL)
    jibek_assert(slab.free_count > 0)
    jibek_assert(leaf.slab == slab)
    slab.free = leaf.next_free
    slab.free_count -= 1
    stock.free_count -= 1
    if slab.free_count == 0:
        stock_unlist_slab(stock, slab)
    jibek_assert((slab.free == NULL) == (slab.free_count == 0))
    return leaf


cdef inline void stock_release_leaf(LeafStock* stock, Leaf* leaf) noexcept nogil:
    """Releases a leaf; a slab that is then free goes, if a third of all leaves are free without it."""
    cdef LeafSlab* slab = leaf.slab
    leaf.next_free = slab.free
    slab.free = leaf
    slab.free_count += 1
    stock.free_count += 1
    jibek_assert(slab.free_count <= slab.leaf_count)
    jibek_assert(stock.free_count <= stock.leaf_count)
    if slab.free_count == 1:
        stock_list_slab(stock, slab)
    if slab.free_count == slab.leaf_count and (stock.free_count - slab.leaf_count) * 3 >= stock.leaf_count:
        stock_unlist_slab(stock, slab)
        stock.leaf_count -= slab.leaf_count
        stock.free_count -= slab.leaf_count
        free(slab)


cdef inline void stock_free(LeafStock* stock) noexcept nogil:
    """Frees all memory, after all trees were freed; the stock is then empty."""
    cdef LeafSlab* slab
    cdef Branch* branch
    while stock.slabs != NULL:
        slab = stock.slabs
        stock.slabs = slab.next
        free(slab)
    while stock.branches != NULL:
        branch = stock.branches
        stock.branches = branch.parent
        free(branch)
    memset(stock, 0, sizeof(LeafStock))


cdef inline void tree_free_branch(LeafStock* stock, Branch* branch, int height) noexcept nogil:
    cdef int index
    for index in range(64):
        if branch.children[index] != NULL:
            if height == 1:
                stock_release_leaf(stock, <Leaf*>branch.children[index])
            else:
                tree_free_branch(stock, <Branch*>branch.children[index], height - 1)
    stock_release_branch(stock, branch)


cdef inline void tree_free(LeafStock* stock, PriceTree* tree) noexcept nogil:
    """Frees all memory; the tree is as after `tree_init`."""
    stock.empty_count -= tree.empty_count
    if tree.root != NULL:
        tree_free_branch(stock, tree.root, tree.height)
    if tree.cache_mask:
        free(tree.cache)
    tree_init(tree)


# -- places in the tree


cdef inline uint64_t tree_path(int64_t number) noexcept nogil:
    """A leaf's place in the tree, small for small prices: the number, or its complement where it is negative."""
    return <uint64_t>(number ^ (number >> 63))


cdef inline int tree_step(uint64_t path, int height) noexcept nogil:
    """Which child of a branch of that height leads to a path."""
    return (path >> (6 * (height - 1))) & 63


cdef inline Leaf* tree_leaf_of(const Level* level) noexcept nogil:
    """The leaf that a level is in."""
    return <Leaf*>(<uint64_t>level & ~<uint64_t>(LEAF_SIZE - 1))


cdef inline Level* leaf_level(Leaf* leaf, int64_t key) noexcept nogil:
    """The level of a key in its leaf, whether or not it is occupied."""
    return &leaf.levels[key & (LEAF_LEVELS - 1)]


cdef inline bint leaf_has(const Leaf* leaf, int64_t key) noexcept nogil:
    """Whether the level of a key is occupied."""
    return leaf.occupied >> (key & (LEAF_LEVELS - 1)) & 1


cdef inline Leaf** tree_cached(const PriceTree* tree, int64_t number) noexcept nogil:
    """Where the cache has the leaf of a number, if it has it."""
    return &tree.cache[<uint64_t>number & tree.cache_mask]


cdef inline void tree_cache_leaf(PriceTree* tree, Leaf* leaf) noexcept nogil:
    if tree.cache_mask:
        tree_cached(tree, leaf.number)[0] = leaf


cdef inline void tree_grow_cache(PriceTree* tree) noexcept nogil:
    """Gives the cache four slots a leaf, so that leaves seldom push each other out where prices are far apart.

    It only saves time, so where memory is out it stays as it is.
    """
    cdef uint64_t slots = tree.cache_mask + 1
    cdef Leaf** old = tree.cache
    cdef Leaf** cache
    cdef Leaf* leaf
    cdef uint64_t index
    if 4 * tree.leaf_count <= slots or slots == LEAF_CACHE_SLOTS_MAX:
        return
    slots = slots * 2 if slots > 1 else LEAF_CACHE_SLOTS_MIN
    cache = <Leaf**>jibek_allocate(slots * sizeof(Leaf*))
    if cache == NULL:
        return
    for index in range(slots):
        cache[index] = <Leaf*>NO_LEAF
    for index in range(tree.cache_mask + 1):
        leaf = old[index]
        if leaf != <Leaf*>NO_LEAF:
            cache[<uint64_t>leaf.number & (slots - 1)] = leaf
    if tree.cache_mask:
        free(old)
    tree.cache = cache
    tree.cache_mask = slots - 1


cdef inline Leaf* tree_find_leaf(PriceTree* tree, int64_t number) noexcept nogil:
    """The leaf of that number in the tree; NULL if there is none."""
    cdef uint64_t path = tree_path(number)
    cdef Branch* branch = tree.root
    cdef int height
    cdef Leaf* leaf
    if branch == NULL or path >> (6 * tree.height):
        return NULL
    for height in range(tree.height, 1, -1):
        branch = <Branch*>branch.children[tree_step(path, height)]
        if branch == NULL:
            return NULL
    leaf = <Leaf*>branch.children[path & 63]
    if leaf != NULL:
        tree_cache_leaf(tree, leaf)
    return leaf


cdef inline Leaf* tree_leaf(PriceTree* tree, int64_t number) noexcept nogil:
    """The leaf of that number; NULL if there is none."""
    cdef Leaf* leaf = tree_cached(tree, number)[0]
    if jibek_unlikely(leaf.number != number):
        leaf = tree_find_leaf(tree, number)
    return leaf


cdef inline Level* tree_level(PriceTree* tree, int64_t key) noexcept nogil:
    """The level of a key; NULL where it has no orders."""
    cdef Leaf* leaf = tree_leaf(tree, key >> LEAF_BITS)
    return leaf_level(leaf, key) if leaf != NULL and leaf_has(leaf, key) else NULL


# -- leaves that come and go


cdef inline void tree_prune(LeafStock* stock, Branch* branch) noexcept nogil:
    """Takes a branch without children out of the tree, with those above it that this leaves so; the root stays."""
    cdef Branch* parent
    while branch.child_count == 0 and branch.parent != NULL:
        parent = branch.parent
        parent.children[branch.index] = NULL
        parent.child_count -= 1
        stock_release_branch(stock, branch)
        branch = parent


cdef inline Branch* tree_add_branch(LeafStock* stock, Branch* parent, int index) noexcept nogil:
    """A new branch below another; NULL where memory is out."""
    cdef Branch* branch = stock_acquire_branch(stock)
    if branch != NULL:
        branch.parent = parent
        branch.index = index
        parent.children[index] = branch
        parent.child_count += 1
    return branch


cdef inline bint tree_heighten(LeafStock* stock, PriceTree* tree, uint64_t path) noexcept nogil:
    """Makes the tree high enough for a path; False where memory is out."""
    cdef Branch* branch
    if tree.root == NULL:
        tree.root = stock_acquire_branch(stock)
        if tree.root == NULL:
            return False
        tree.height = 1
    while path >> (6 * tree.height):
        # A root without children is a root of any height; as a child it would be a dead end.
        if tree.root.child_count:
            branch = stock_acquire_branch(stock)
            if branch == NULL:
                return False
            branch.occupied = tree.root.occupied != 0
            branch.children[0] = tree.root
            branch.child_count = 1
            tree.root.parent = branch
            tree.root = branch
        tree.height += 1
    return True


cdef inline void tree_drop_leaf(LeafStock* stock, PriceTree* tree, Leaf* leaf) noexcept nogil:
    """Takes an empty leaf out of the tree, with the branches that this leaves without children."""
    cdef Branch* branch = leaf.parent
    jibek_assert(leaf.occupied == 0)
    jibek_assert(branch.children[tree_path(leaf.number) & 63] == <void*>leaf)
    jibek_assert(tree.empty_count > 0)
    branch.children[tree_path(leaf.number) & 63] = NULL
    branch.child_count -= 1
    tree_prune(stock, branch)
    tree.leaf_count -= 1
    tree.empty_count -= 1
    stock.empty_count -= 1
    if tree_cached(tree, leaf.number)[0] == leaf:
        tree_cached(tree, leaf.number)[0] = <Leaf*>NO_LEAF
    stock_release_leaf(stock, leaf)


cdef inline void tree_drop_empty_of(LeafStock* stock, PriceTree* tree, Branch* branch, int height) noexcept nogil:
    """Takes the empty leaves below a branch out of the tree. The branch may go with the last of them."""
    # Counted beforehand, because nothing may be read from a branch that has gone.
    cdef uint32_t children = branch.child_count
    cdef int index = 0
    cdef void* child
    while children:
        child = branch.children[index]
        index += 1
        if child != NULL:
            children -= 1
            if height > 1:
                tree_drop_empty_of(stock, tree, <Branch*>child, height - 1)
            elif (<Leaf*>child).occupied == 0:
                tree_drop_leaf(stock, tree, <Leaf*>child)


cdef inline bint tree_has_many_empty(const PriceTree* tree) noexcept nogil:
    """Whether more leaves of a side are empty than occupied, and more than a few."""
    return 2 * tree.empty_count > EMPTY_LEAVES_OF_SIDE + tree.leaf_count


cdef inline bint tree_has_too_many_empty(const LeafStock* stock, const PriceTree* tree) noexcept nogil:
    """Whether that is so, and more than some hundred leaves of all sides are empty."""
    return 2 * stock.empty_count > EMPTY_LEAVES_OF_ALL + stock.leaf_count - stock.free_count and tree_has_many_empty(tree)


cdef inline Leaf* tree_make_leaf(LeafStock* stock, PriceTree* tree, int64_t number) noexcept nogil:
    """The leaf of that number, grown into the tree as an empty one where it is missing; NULL where memory is out."""
    cdef Leaf* leaf = tree_find_leaf(tree, number)
    cdef uint64_t path = tree_path(number)
    cdef Branch* branch
    cdef Branch* child
    cdef int height
    if leaf != NULL:
        return leaf
    # Where prices wander, those that were left behind make room for the new ones.
    if stock.slabs == NULL and tree_has_many_empty(tree):
        tree_drop_empty_of(stock, tree, tree.root, tree.height)
    if not tree_heighten(stock, tree, path):
        return NULL
    branch = tree.root
    for height in range(tree.height, 1, -1):
        child = <Branch*>branch.children[tree_step(path, height)]
        if child == NULL:
            child = tree_add_branch(stock, branch, tree_step(path, height))
            if child == NULL:
                tree_prune(stock, branch)
                return NULL
        branch = child
    leaf = stock_acquire_leaf(stock)
    if leaf == NULL:
        tree_prune(stock, branch)
        return NULL
    leaf.occupied = 0
    leaf.number = number
    leaf.parent = branch
    branch.children[path & 63] = leaf
    branch.child_count += 1
    tree.leaf_count += 1
    tree.empty_count += 1
    stock.empty_count += 1
    tree_grow_cache(tree)
    tree_cache_leaf(tree, leaf)
    jibek_assert(tree_find_leaf(tree, number) == leaf)
    jibek_assert(tree.empty_count <= tree.leaf_count)
    jibek_assert(stock.empty_count <= stock.leaf_count - stock.free_count)
    return leaf


cdef inline void tree_leaf_is_occupied(LeafStock* stock, PriceTree* tree, Leaf* leaf) noexcept nogil:
    """Marks in the branches that a leaf which was empty is about to have an order."""
    cdef Branch* branch = leaf.parent
    cdef uint64_t before = branch.occupied
    jibek_assert(leaf.occupied == 0)
    jibek_assert(tree.empty_count > 0)
    tree.empty_count -= 1
    stock.empty_count -= 1
    branch.occupied |= <uint64_t>1 << (tree_path(leaf.number) & 63)
    while before == 0 and branch.parent != NULL:
        before = branch.parent.occupied
        branch.parent.occupied |= <uint64_t>1 << branch.index
        branch = branch.parent


cdef inline void tree_leaf_is_empty(LeafStock* stock, PriceTree* tree, Leaf* leaf) noexcept nogil:
    """Marks in the branches that a leaf has no orders any more."""
    cdef Branch* branch = leaf.parent
    branch.occupied &= ~(<uint64_t>1 << (tree_path(leaf.number) & 63))
    while branch.occupied == 0 and branch.parent != NULL:
        branch.parent.occupied &= ~(<uint64_t>1 << branch.index)
        branch = branch.parent
    tree.empty_count += 1
    stock.empty_count += 1
    jibek_assert(leaf.occupied == 0)
    jibek_assert(tree.empty_count <= tree.leaf_count)


# -- the order of prices


cdef inline Leaf* tree_worse_leaf(Leaf* leaf) noexcept nogil:
    """The nearest occupied leaf of a lower number, whether or not this one is occupied; NULL if there is none."""
    cdef Branch* branch = leaf.parent
    cdef int index = tree_path(leaf.number) & 63
    # Worse asks are higher prices, which are further up the path.
    cdef bint upwards = leaf.number < 0
    cdef int height = 1
    cdef uint64_t candidates
    while True:
        # The shift is split because shifting a 64-bit word by 64 is undefined.
        if upwards:
            candidates = branch.occupied >> index >> 1 << index << 1
        else:
            candidates = branch.occupied & ((<uint64_t>1 << index) - 1)
        if candidates:
            break
        index = branch.index
        branch = branch.parent
        height += 1
        if branch == NULL:
            return NULL
    while True:
        index = jibek_lowest_bit(candidates) if upwards else jibek_highest_bit(candidates)
        if height == 1:
            return <Leaf*>branch.children[index]
        branch = <Branch*>branch.children[index]
        candidates = branch.occupied
        height -= 1


cdef inline Level* tree_worse_level(Level* level) noexcept nogil:
    """The level that comes after an occupied one; NULL where it is the last."""
    cdef Leaf* leaf = tree_leaf_of(level)
    cdef uint64_t worse = leaf.occupied & ((<uint64_t>1 << (level.key & (LEAF_LEVELS - 1))) - 1)
    if not worse:
        leaf = tree_worse_leaf(leaf)
        if leaf == NULL:
            return NULL
        worse = leaf.occupied
    return &leaf.levels[jibek_highest_bit(worse)]


# -- levels that come and go


cdef inline Leaf* tree_leaf_for(LeafStock* stock, PriceTree* tree, int64_t key) noexcept nogil:
    """The leaf of a key, made where it is missing; NULL where memory is out."""
    cdef Leaf* leaf = tree_cached(tree, key >> LEAF_BITS)[0]
    if jibek_unlikely(leaf.number != key >> LEAF_BITS):
        leaf = tree_make_leaf(stock, tree, key >> LEAF_BITS)
    return leaf


cdef inline void tree_assert_best(const PriceTree* tree) noexcept nogil:
    """The best level is that of the best key, and is occupied; a side without one has no occupied leaf."""
    if tree.best_key == EMPTY_KEY:
        jibek_assert(tree.empty_count == tree.leaf_count)
    else:
        jibek_assert(tree.best_level.key == tree.best_key)
        jibek_assert(leaf_has(tree_leaf_of(tree.best_level), tree.best_key))


cdef inline void tree_add_level(
    LeafStock* stock, PriceTree* tree, Leaf* leaf, Level* level, int64_t key
) noexcept nogil:
    """Occupies a level of a leaf; the caller gives it its queue."""
    if jibek_unlikely(leaf.occupied == 0):
        tree_leaf_is_occupied(stock, tree, leaf)
    leaf.occupied |= <uint64_t>1 << (key & (LEAF_LEVELS - 1))
    level.key = key
    if key > tree.best_key:
        tree.best_key = key
        tree.best_level = level
    jibek_assert(leaf_level(leaf, key) == level)
    jibek_assert(leaf.number == key >> LEAF_BITS)
    jibek_assert(tree.best_key >= key)
    tree_assert_best(tree)


cdef inline void tree_set_best(PriceTree* tree, Leaf* leaf) noexcept nogil:
    """The best level of a leaf, or of none, is the best of the side."""
    cdef int index
    if jibek_unlikely(leaf == NULL):
        tree.best_key = EMPTY_KEY
        return
    index = jibek_highest_bit(leaf.occupied)
    tree.best_key = leaf.number * LEAF_LEVELS + index
    tree.best_level = &leaf.levels[index]


cdef inline void tree_remove_level(LeafStock* stock, PriceTree* tree, Level* level) noexcept nogil:
    """Forgets a level whose last order has gone."""
    cdef Leaf* leaf = tree_leaf_of(level)
    jibek_assert(leaf_has(leaf, level.key))
    jibek_assert(level.quantity_lots == 0)
    jibek_assert(tree.best_key >= level.key)
    leaf.occupied &= ~(<uint64_t>1 << (level.key & (LEAF_LEVELS - 1)))
    if jibek_likely(leaf.occupied):
        if level.key == tree.best_key:
            tree_set_best(tree, leaf)
        tree_assert_best(tree)
        return
    tree_leaf_is_empty(stock, tree, leaf)
    if level.key == tree.best_key:
        tree_set_best(tree, tree_worse_leaf(leaf))
    tree_assert_best(tree)
    if jibek_unlikely(tree_has_too_many_empty(stock, tree)):
        tree_drop_empty_of(stock, tree, tree.root, tree.height)
