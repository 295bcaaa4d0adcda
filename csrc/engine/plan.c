/* How a batch is cut: into parts, into blocks of rows, and for how many threads. */
#include "engine/plan.h"

#include "system/integers.h"
#include "threads/plan.h"
#include "threads/team.h"

enum {
    ROWS_PER_PART = 32,  /* fewer rows are not worth a gradient of their own */
    FORWARD_BLOCK = 256, /* rows of a pass whose weights are packed already, at most */
    FORWARD_BLOCK_MIN = 32,
    WEIGHT_ROWS = 4,     /* whose products take as long as reading the weights for them */
    COST_BLOCK = 128,    /* the same where losses are summed, so by shape alone */
    SHARED_BLOCK = 4096, /* rows of a pass that all members share */
    LONGEST_VECTOR = 16  /* numbers of float32 in AVX-512 */
};

/* Networks up to this many bytes of parameters are trained in parts: weights and gradients stay in
 * the cache next to a core while block after block of rows passes. */
static const int64_t PARTS_BYTES = 256 * 1024;

/* Bytes of activations and deltas that a block of rows may fill. */
static const int64_t BLOCK_BYTES = 192 * 1024;

static int64_t clamp(int64_t x, int64_t low, int64_t high) {
    return x < low ? low : x > high ? high : x;
}

/* Rows, in whole units, whose activations, deltas and inputs fill BLOCK_BYTES. */
static int64_t rows_in_cache(const bp_net *net, int64_t unit) {
    int64_t width = net->layers[0].n_in;
    for (int l = 0; l < net->n_layers; l++)
        width += 2 * net->layers[l].n_out;
    int64_t size = (int64_t)bp_element_size(net->dtype);
    return clamp(BLOCK_BYTES / (width * size) / unit * unit, 16, 256);
}

/* No output depends on another row, so the parts may depend on the threads: two for each thread,
 * so that a thread that comes late can do fewer. If there are too few rows for that, the threads
 * share the units of each layer, provided that reading the weights takes long enough. */
static bp_plan plan_outputs(int64_t rows, double flops) {
    if (rows < 2 * FORWARD_BLOCK_MIN && bp_threads_for(flops, 1) > 1)
        return (bp_plan){.shared = 1, .parts = 1, .block = rows};
    const int threads = bp_threads_for(flops, 0);
    const int64_t share = threads > 1 ? (rows - 1) / (2 * threads) + 1 : rows;
    const int64_t parts = (rows - 1) / clamp(share, FORWARD_BLOCK_MIN, FORWARD_BLOCK) + 1;
    return (bp_plan){.parts = (int)clamp(parts, 1, 1 << 20), .block = (rows - 1) / parts + 1};
}

/* Parts of a batch whose examples are columns: powers of two, so that gradients are added as a
 * tree. Doubling the parts halves the time of the products, but then every core has to read more
 * gradients of others. Reading one takes 0.7 ns a parameter, as long as the products of some 23
 * rows: 6 operations a parameter and row, 200 of them in a ns. */
static int parts_of_columns(int64_t rows) {
    return rows < 48 ? 1 : rows < 288 ? 2 : rows < 1344 ? 4 : BP_MAX_PARTS;
}

void bp_plan_part(const bp_plan *plan, int64_t rows, int part, int64_t *begin, int64_t *end) {
    bp_share(rows, plan->columns ? BP_COLUMNS_UNIT : 1, part, plan->parts, begin, end);
}

/* A gradient in parts. Columns take operands of the network's type; and few rows would leave most
 * of a vector of examples empty. */
static bp_plan plan_parts(const bp_net *net, int64_t rows, int64_t largest) {
    const int columns = largest >= BP_COLUMNS_UNIT && net->precision == BP_PRECISION_FLOAT32;
    return (bp_plan){
        .columns = columns,
        .parts =
            columns ? parts_of_columns(rows) : (int)clamp(rows / ROWS_PER_PART, 1, BP_MAX_PARTS),
        .block = rows_in_cache(net, columns ? BP_COLUMNS_UNIT : LONGEST_VECTOR),
    };
}

static bp_plan make_plan(const bp_net *net, int64_t rows, int64_t largest, bp_want want) {
    const int64_t size = (int64_t)bp_element_size(net->dtype);
    const double flops = (want == BP_WANT_GRADIENT ? 6.0 : 2.0) * (double)net->n_parameters *
                         (double)(rows > WEIGHT_ROWS ? rows : WEIGHT_ROWS);
    bp_plan plan;
    if (net->loss == BP_LOSS_CALLBACK && want != BP_WANT_OUTPUTS) {
        plan = (bp_plan){
            .shared = 1, .parts = 1, .block = rows}; /* the user's function sees whole batches */
    } else if (want == BP_WANT_OUTPUTS && net->compact) {
        plan = plan_outputs(rows, flops);
    } else if (want == BP_WANT_COST && net->compact) {
        const int64_t parts = (rows + COST_BLOCK - 1) / COST_BLOCK;
        plan = (bp_plan){.parts = (int)clamp(parts, 1, 1 << 20), .block = COST_BLOCK};
    } else if (want == BP_WANT_GRADIENT && net->n_parameters * size <= PARTS_BYTES) {
        plan = plan_parts(net, rows, largest);
    } else {
        plan = (bp_plan){.shared = 1, .parts = 1, .block = SHARED_BLOCK};
    }
    int64_t part_rows = (rows + plan.parts - 1) / plan.parts;
    if (plan.columns) {
        part_rows = bp_round_up(part_rows, BP_COLUMNS_UNIT);
        /* As few blocks as fit, then equal ones, because a few rows take as long as a whole vector
         * of them. Rounding up to the longest vector makes a block 8 rows larger at most. */
        const int64_t blocks = bp_ceil_div(part_rows, plan.block);
        plan.block = bp_round_up(bp_ceil_div(part_rows, blocks), LONGEST_VECTOR);
    }
    if (plan.block > part_rows) plan.block = part_rows > 0 ? part_rows : 1;
    plan.flops = flops;
    plan.threads = bp_threads_for(flops, plan.shared);
    if (!plan.shared && plan.threads > plan.parts) plan.threads = plan.parts;
    return plan;
}

bp_plan bp_plan_make(const bp_net *net, int64_t rows, bp_want want) {
    return make_plan(net, rows, rows, want);
}

bp_plan bp_plan_stack(const bp_net *net, int64_t n, int64_t rows) {
    const bp_plan one = bp_plan_make(net, rows, BP_WANT_OUTPUTS);
    const double flops = (double)n * one.flops;
    const int threads = bp_threads_for(flops, 0);
    if (!net->compact || (one.shared && n < 2 * threads)) return one;
    const int64_t share = (rows - 1) / bp_ceil_div(2 * threads, n) + 1;
    const int64_t parts = (rows - 1) / clamp(share, FORWARD_BLOCK_MIN, FORWARD_BLOCK) + 1;
    bp_plan plan = {.parts = (int)clamp(parts, 1, 1 << 20), .flops = flops};
    plan.block = (rows - 1) / plan.parts + 1;
    plan.threads = n * plan.parts < threads ? (int)n * plan.parts : threads;
    return plan;
}

bp_plan bp_plan_step(const bp_net *net, int64_t rows, int64_t largest,
                     const bp_optimizer *optimizer) {
    bp_plan plan = make_plan(net, rows, largest, BP_WANT_GRADIENT);
    /* Several blocks add up their gradients. */
    const int is_whole = bp_plan_needs_whole(net, optimizer);
    plan.one_example =
        !plan.shared && largest == 1 && !is_whole && net->precision == BP_PRECISION_FLOAT32;
    plan.fused = plan.one_example || (plan.shared && rows <= plan.block && !is_whole);
    return plan;
}

double bp_weight_scale(const bp_data *data, const bp_rows *rows, int64_t n) {
    if (!data->sample_weight) return n > 0 ? 1.0 / (double)n : 0.0;
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += data->sample_weight[bp_row(rows, i)];
    return sum > 0.0 ? 1.0 / sum : 0.0;
}
