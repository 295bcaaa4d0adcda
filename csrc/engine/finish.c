/* What follows a slice of a run. */
#include "engine/finish.h"

#include "engine/doors.h"

/* Goes back to the start of an epoch whose end was not finite. */
static void restore_epoch(bp_fit *fit) {
    bp_net *net = fit->net;
    bp_engine_of(net->dtype)->set_trained(net, fit->backup);
    net->steps = fit->backup_step;
    fit->batch = 0;
}

void bp_slice_end(bp_slice *s, bp_fit_state *state) {
    bp_fit *fit = s->fit;
    *state = (bp_fit_state){
        .epoch = fit->epoch,
        .batch = fit->batch,
        .n_batches = fit->n_batches,
        .completed = s->completed,
        .cost = fit->cost_weight > 0.0 ? fit->cost_sum / fit->cost_weight : 0.0,
        .cost_sum = fit->cost_sum,
        .cost_weight = fit->cost_weight,
        .start = fit->backup,
    };
    if (s->status == BP_ERR_NOT_FINITE) restore_epoch(fit);
}
