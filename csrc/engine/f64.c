/* The engine for double. */
#include <math.h>
#include <string.h>

#include "engine/doors.h"
#include "kernels/dispatch.h"
#include "system/clock.h"
#include "system/cpu.h"
#include "system/fpmode.h"
#include "system/integers.h"
#include "system/rng.h"
#include "system/scratch.h"
#include "threads/plan.h"

#define real double
#define ELEMENT f64 /* the element type's part of the kernel table */
#define ENGINE bp_engine_f64
typedef bp_kernels_f64 real_kernels;
typedef bp_lane_scalars_f64 lane_scalars;

#include "engine/engine.h"

#include "engine/bodies.inc.h"

static int choose_phases(bp_net *net) {
    return choose_plain_phases(net);
}

#include "engine/doors.inc.h"
