/* One batch for one element type; included by batch.h for float and double. */

/* Buffers that a network keeps between calls. */
typedef struct {
    int n_passes, n_members, n_parts;
    int64_t capacity;      /* rows of each pass */
    BP_T(bp_pass) *passes; /* one, or one a member */
    real *scratch;         /* of all members */
    int64_t scratch_each;
    real *gradients;    /* a flat vector for each part, or room for one layer at a time */
    int64_t n_gradient; /* entries of all of them */
    double *part_cost;  /* n_parts */
    double *partial;    /* sums of chunks of the parameters */
} BP_T(bp_workspace);

/* What the members of a team share while they work on a batch. */
typedef struct {
    bp_net *net;
    BP_T(bp_workspace) *workspace;
    bp_plan plan;
    bp_want want;
    bp_batch batch;
    real *gradient;  /* of the first part, and in the end of the whole batch */
    int user_status; /* of the user's loss */
    atomic_int next; /* the next part that no member has taken, where there are several members */

    const bp_optimizer *optimizer; /* of the update, with the scalars of the coming step */
    bp_update update;
} BP_T(bp_job);

/* The workspace of a network for passes with these flags (bp_pass_flag), made or enlarged to serve
 * the plan; NULL, and what was there is gone, where there is no memory. */
BP_T(bp_workspace) *BP_T(bp_workspace_reserve)(bp_net *net, const bp_plan *plan, int flags);
void BP_T(bp_workspace_release)(bp_net *net, int flags);

/* Fills the packed copy of the weights where it is out of date, and what derivatives in the inputs
 * need besides. All members; syncs. */
void BP_T(bp_batch_pack)(BP_T(bp_job) *job, bp_team *team, int member, int members);

/* Outputs, costs and gradients of the parts of a batch. All members; syncs at its end. */
void BP_T(bp_batch_run)(BP_T(bp_job) *job, bp_team *team, int member, int members);

/* The same for outputs alone and a plan in parts, without syncs: members may be missing. */
void BP_T(bp_batch_outputs)(BP_T(bp_job) *job, int member, int members);

/* The cost of the batch that was run, penalties included; every member computes the same. */
double BP_T(bp_batch_cost)(const BP_T(bp_job) *job);

/* Adds up the parts' gradients, and the penalties', into job->gradient. All members; syncs. */
void BP_T(bp_batch_gradient)(BP_T(bp_job) *job, bp_team *team, int member, int members);

/* Updates the parameters from the parts' gradients, and the packed copy; not where the plan is
 * fused, whose backward pass has done it. All members; no sync at its end. */
void BP_T(bp_batch_update)(BP_T(bp_job) *job, bp_team *team, int member, int members);
