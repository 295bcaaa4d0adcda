"""Learn to read handwritten digits, and look at the gradients."""

import pybackprop as bp
from pybackprop import datasets

data = datasets.digits().split(0.2, seed=0)
shift, scale = data.scaling()
x, x_test = (data.x - shift) * scale, (data.x_test - shift) * scale

net = bp.Network(
    [64, 256, 10], activation="gelu", output="softmax", loss="cross_entropy", dropout=0.5, seed=1
)
history = net.fit(x, data.y, epochs=40, optimizer=bp.AdamW(lr=2e-3, weight_decay=0.05))
right = net.predict(x_test).argmax(axis=1) == data.y_test
print(f"{right.mean():.0%} of {right.size} held-out digits right")

gradients = net.backprop(x_test, data.y_test)
print("dC/dW of each layer:", [dw.shape for dw in gradients.weights])
