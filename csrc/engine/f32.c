/* The engine for float. */
#include <math.h>
#include <string.h>

#include "engine/bf16.h"
#include "engine/doors.h"
#include "kernels/dispatch.h"
#include "system/clock.h"
#include "system/cpu.h"
#include "system/fpmode.h"
#include "system/integers.h"
#include "system/rng.h"
#include "system/scratch.h"
#include "threads/plan.h"

#define real float
#define ELEMENT f32 /* the element type's part of the kernel table */
#define ENGINE bp_engine_f32
typedef bp_kernels_f32 real_kernels;
typedef bp_lane_scalars_f32 lane_scalars;

#include "engine/engine.h"

#include "engine/bodies.inc.h"
#include "engine/pass_bf16.inc.h"

static int choose_phases(bp_net *net) {
    return net->precision == BP_PRECISION_FLOAT32 ? choose_plain_phases(net)
                                                  : choose_bf16_phases(net);
}

#include "engine/doors.inc.h"
