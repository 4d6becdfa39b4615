// A baseline for the benchmark, not a kernel that the front door takes: one thread a column that walks all of time
// and loads what a step needs, as the IndRNN papers describe theirs (Li et al. 2018, section 3.2). float and ReLU;
// tensors contiguous; column = b * H + unit.
//
// Kinder than theirs in two ways: the gradient's mask comes from h, so x is not read again, and du is written per
// column and summed later, without atomic additions.

extern "C" __global__ void plain_forward(const float* __restrict__ x_tbh, const float* __restrict__ u_h,
                                         const float* __restrict__ h0_bh, float* __restrict__ h_tbh, long long T,
                                         long long columns, long long H) {
    const long long column = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= columns) return;
    const float u = u_h[column % H];
    float state = h0_bh[column];
    for (long long t = 0, at = column; t < T; ++t, at += columns) {
        state = fmaxf(x_tbh[at] + u * state, 0.0f);
        h_tbh[at] = state;
    }
}

extern "C" __global__ void plain_backward(const float* __restrict__ grad_tbh, const float* __restrict__ h_tbh,
                                          const float* __restrict__ u_h, const float* __restrict__ h0_bh,
                                          float* __restrict__ dx_tbh, float* __restrict__ du_bh,
                                          float* __restrict__ dh0_bh, long long T, long long columns, long long H) {
    const long long column = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= columns) return;
    const float u = u_h[column % H];
    float carry = 0, du = 0;
    for (long long t = T - 1, at = t * columns + column; t >= 0; --t, at -= columns) {
        const float d = h_tbh[at] > 0.0f ? grad_tbh[at] + carry : 0.0f;
        dx_tbh[at] = d;
        du += d * (t > 0 ? h_tbh[at - columns] : h0_bh[column]);
        carry = u * d;
    }
    du_bh[column] = du;
    dh0_bh[column] = carry;
}
