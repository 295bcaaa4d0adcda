/* Ends with status 0 where the processor has AVX, and by SIGILL where it has not. */
int main(void) {
    __asm__ volatile("vxorps %%ymm0, %%ymm0, %%ymm0" ::: "xmm0");
    return 0;
}
