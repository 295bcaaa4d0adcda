/* What public functions check and take before they use a network. */
#ifndef BP_GUARD_H
#define BP_GUARD_H

#include "engine/net.h"

/* BP_OK if the data fit the network: shapes, types, labels in range. */
int bp_data_check(const bp_net *net, const bp_data *data, int needs_y);

/* BP_OK if there are some, and index, unless NULL, names rows of the data. */
int bp_rows_check(const bp_data *data, const int64_t *index, int64_t rows);

/* Takes the network for this thread; BP_ERR_BUSY or BP_ERR_FORKED if that is not possible. */
int bp_net_enter(bp_net *net);
void bp_net_leave(bp_net *net);

#endif
