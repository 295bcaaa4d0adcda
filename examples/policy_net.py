"""Reinforcement learning: a policy that acts on one observation at a time.

Balances a pole on a cart (Barto, Sutton and Anderson, 1983) by policy gradients with a net of the
size that PPO usually has. Run it: python policy_net.py
"""

import math

import numpy as np

import pybackprop as bp


def move(s: list[float], action: int) -> list[float]:
    """Return position, speed, angle and angular speed a fiftieth of a second later."""
    x, v, angle, w = s
    sin, cos = math.sin(angle), math.cos(angle)
    push = ((10.0 if action else -10.0) + 0.05 * w * w * sin) / 1.1
    a = (9.8 * sin - cos * push) / (0.5 * (4 / 3 - 0.1 * cos * cos / 1.1))
    return [x + 0.02 * v, v + 0.02 * (push - 0.05 * a * cos / 1.1), angle + 0.02 * w, w + 0.02 * a]


def policy_loss(p: np.ndarray, advantage: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Minus the advantage of the action taken (0 for the other) times log p."""
    return -(advantage * np.log(p)).sum(axis=1), -advantage / p


def play(policy: bp.Network, rng: np.random.Generator) -> tuple[list[list[float]], list[int]]:
    """Return the observations and the actions of one episode."""
    state, seen, actions = list(rng.uniform(-0.05, 0.05, 4)), [], []
    row, p = np.empty((1, 4), np.float32), np.empty((1, 2), np.float32)
    while len(seen) < 300 and abs(state[0]) < 2.4 and abs(state[2]) < 0.21:
        row[0] = state
        policy.predict(row, out=p)
        seen.append(state)
        actions.append(int(rng.random() < p[0, 1]))
        state = move(state, actions[-1])
    return seen, actions


def main(rounds: int = 20) -> float:
    """Train, and return how many steps the last ten episodes took on average."""
    rng, optimizer, shape = np.random.default_rng(0), bp.Adam(1e-2), [4, 64, 64, 2]
    policy = bp.Network(shape, activation="tanh", output="softmax", loss=policy_loss, seed=0)
    for number in range(rounds):
        episodes = [play(policy, rng) for _ in range(10)]
        seen, actions = (np.concatenate(part) for part in zip(*episodes, strict=True))
        lengths = [len(states) for states, _ in episodes]
        # The return of a step is how many follow, each worth a hundredth less than the one before.
        returns = np.concatenate([100 * (1 - 0.99 ** np.arange(n, 0, -1)) for n in lengths])
        advantage = np.eye(2)[actions] * ((returns - returns.mean()) / returns.std())[:, None]
        policy.step(seen, advantage, optimizer)
        print(f"round {number + 1}: {np.mean(lengths):.0f} steps an episode")
    return float(np.mean(lengths))


if __name__ == "__main__":
    main()
