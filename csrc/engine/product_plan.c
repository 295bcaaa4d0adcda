/* Blocking and packing of matrix products, from shapes, strides and the geometry of the caches. */
#include "engine/product_plan.h"

#include "system/integers.h"

enum {
    L1_DEFAULT = 32 << 10,
    L2_DEFAULT = 512 << 10,
    L2_MAX = 2 << 20, /* bounds the scratch where the second level is huge */
    WAYS_DEFAULT = 8,
    KC_MIN = 128,            /* fewer products per load and store of C would show */
    KC_MAX = 512,            /* more gains nothing */
    KC_IN_PLACE = 192,       /* the fewest for which B stays where it is */
    STRIP_COLUMNS = 128,     /* of B, at most */
    SCRATCH_BYTES = 2 << 20, /* for the packed block of B; A is packed again for each block */
    SMALL_WORK = 1 << 18,    /* m n k up to which operands fit the caches as they are */
    PACKING_TILES = 4,       /* tiles of rows from which packing B can pay; of columns, for A */
    SOME_TILES = 16,         /* from which it pays where B is slow to read as it is */
    MANY_TILES = 70          /* from which it costs little */
};

static bp_cache known(bp_cache cache, int64_t bytes) {
    if (cache.bytes <= 0) cache = (bp_cache){bytes, 0, 0};
    if (cache.ways <= 0 || cache.sets <= 0) {
        cache.ways = WAYS_DEFAULT;
        cache.sets = bp_max_i64(cache.bytes / (BP_CACHE_LINE * WAYS_DEFAULT), 1);
    }
    return cache;
}

bp_product_machine bp_product_machine_of(const bp_cpu *cpu, int64_t size, int64_t mr, int64_t nr) {
    return (bp_product_machine){size, mr, nr, known(cpu->cache[1], L1_DEFAULT),
                                known(cpu->cache[2], L2_DEFAULT)};
}

int64_t bp_l2_bytes(const bp_cpu *cpu) {
    return bp_min_i64(known(cpu->cache[2], L2_DEFAULT).bytes, L2_MAX);
}

/* The bytes after which the lines at a stride (in bytes) fall into the same set again. */
static int64_t period(const bp_cache *cache, int64_t stride) {
    const int64_t low = bp_max_i64(stride & -stride, BP_CACHE_LINE);
    return bp_min_i64(low, BP_CACHE_LINE * cache->sets);
}

/* How many of its ways a cache needs for `count` lines at a stride; rounded up. */
static int64_t ways_needed(const bp_cache *cache, int64_t count, int64_t stride) {
    return bp_ceil_div(count * period(cache, stride), BP_CACHE_LINE * cache->sets);
}

/* Cuts count into equal parts of at most `most`, each but the last a multiple of `unit`. */
static int64_t part_size(int64_t count, int64_t most, int64_t unit) {
    if (count <= most) return bp_max_i64(count, 1);
    return bp_ceil_div(bp_ceil_div(count, bp_ceil_div(count, most)), unit) * unit;
}

bp_blocking bp_blocking_largest(const bp_product_machine *machine) {
    const int64_t size = machine->size, mr = machine->mr, nr = machine->nr;
    const int64_t l1 = machine->l1.bytes, l2 = bp_min_i64(machine->l2.bytes, L2_MAX);
    bp_blocking block;
    block.kc = bp_max_i64(KC_MIN, bp_min_i64(KC_MAX, l1 * 4 / 3 / (mr * size) / 16 * 16));
    block.mc = bp_max_i64(1, l2 / 4 / (block.kc * size) / mr) * mr;
    block.nb = bp_max_i64(1, bp_min_i64(l2 / 4 / (block.kc * size), STRIP_COLUMNS) / nr) * nr;
    block.nc = bp_max_i64(1, SCRATCH_BYTES / (block.kc * size) / block.nb) * block.nb;
    return block;
}

/* Whether a strip of B with kc rows fits half the ways of the second level: A and C, whose lines
 * pass through the same sets, need the others. */
static int b_stays(const bp_product_machine *machine, const bp_product_shape *shape, int64_t kc) {
    const int64_t stride = shape->b_rs * machine->size;
    return ways_needed(&machine->l2, kc, stride) <= machine->l2.ways / 2;
}

/* Whether A is packed. It is if the lines of A that a tile reads would evict each other from the
 * first level; or if A is stored by columns, each of which costs a line or two for the few rows of
 * a tile, and enough tiles use the copy. */
static int packs_a(const bp_product_machine *machine, const bp_product_shape *shape, int64_t kc) {
    const int by_rows = shape->a_cs == 1;
    const int64_t count = by_rows ? machine->mr : kc;
    const int64_t stride = (by_rows ? shape->a_rs : shape->a_cs) * machine->size;
    if (!by_rows && shape->n >= PACKING_TILES * machine->nr) return 1;
    return shape->n > machine->nr &&
           ways_needed(&machine->l1, count, stride) > machine->l1.ways / 2;
}

/* Decides whether B is packed, or summed in smaller blocks where it lies. Packing takes as long as
 * computing several tiles of rows. If rows do not begin at a cache line, vectors straddle two
 * lines, and a product takes up to 1.1 times as long (512^3 on a Granite Rapids, with vectors of 32
 * and of 64 bytes); rows in other pages are not prefetched. */
static void plan_b(const bp_product_machine *machine, const bp_product_shape *shape,
                   bp_product_plan *plan) {
    const int64_t tiles = shape->m / machine->mr, stride = shape->b_rs * machine->size;
    const int is_slow = shape->b_shifted || stride % BP_CACHE_LINE != 0 || stride >= BP_PAGE;
    if (tiles < PACKING_TILES) return;
    if (tiles < (is_slow ? SOME_TILES : MANY_TILES)) {
        if (b_stays(machine, shape, plan->block.kc)) return;
        const int64_t part = part_size(shape->k, KC_MAX / 2, 8);
        if (part < plan->block.kc && part >= KC_IN_PLACE && b_stays(machine, shape, part)) {
            plan->block.kc = part;
            return;
        }
    }
    plan->pack_b = is_slow || !b_stays(machine, shape, plan->block.kc);
}

bp_product_plan bp_product_plan_for(const bp_product_machine *machine,
                                    const bp_product_shape *shape) {
    const int64_t m = shape->m, n = shape->n, k = shape->k, mr = machine->mr, nr = machine->nr;
    const int must_pack = !shape->b_packed && shape->b_cs != 1;
    bp_product_plan plan = {{m, bp_max_i64(k, 1), n, n}, 0, must_pack};
    const int reads_once = m <= mr || (double)m * (double)n * (double)k <= SMALL_WORK;
    if (reads_once && !must_pack) return plan;

    const bp_blocking most = bp_blocking_largest(machine);
    plan.block.kc = part_size(k, most.kc, 8);
    plan.block.nb = part_size(n, most.nb, nr);
    if (!reads_once && !must_pack && !shape->b_packed) plan_b(machine, shape, &plan);
    plan.pack_a = !reads_once && packs_a(machine, shape, plan.block.kc);
    if (plan.pack_b) plan.block.nc = bp_min_i64(part_size(n, most.nc, plan.block.nb), most.nc);
    plan.block.mc = part_size(m, most.mc, mr);
    return plan;
}
