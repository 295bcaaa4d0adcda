/* Lets a program include bodies of the engine for one element type: define REAL and ELEMENT first,
 * and include the bodies afterwards. */
#ifndef ONE_TYPE_H
#define ONE_TYPE_H

#include "kernels/kernels.h"

#define ONE_TYPE_NAME(element) ONE_TYPE_PASTE(element)
#define ONE_TYPE_PASTE(element) bp_kernels_##element
#define real REAL
typedef ONE_TYPE_NAME(ELEMENT) real_kernels;

/* Of what engine.h declares, a program defines only what it checks. */
#if defined(__clang__)
#    pragma clang diagnostic ignored "-Wundefined-internal"
#endif
#if defined(__GNUC__)
#    pragma GCC diagnostic ignored "-Wunused-function"
#endif
#include "engine/engine.h"
#include "system/integers.h"

#endif
