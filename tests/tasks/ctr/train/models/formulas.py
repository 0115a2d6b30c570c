"""The families' formulas in NumPy, float64, row by row, as their papers write them.

Each takes one row's weighted, pooled embeddings `e` [F, width], the sum of the inputs' own
weights `first`, the dense numbers `dense` [M], the parameters `p`, and the family's options `o`.
"""

import itertools

import numpy as np


def relu(x):
    return np.maximum(x, 0.0)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def dense_layer(p, name, x):
    return p[f"{name}.weight"] @ x + p[f"{name}.bias"]


def mlp(p, name, x, activation=relu):
    layer = 0
    while f"{name}.{layer}.weight" in p:
        x = activation(dense_layer(p, f"{name}.{layer}", x))
        layer += 1
    return x


def out(p, x):
    return dense_layer(p, "out", x).item()


def pair_sum(e):
    return sum(a @ b for a, b in itertools.combinations(e, 2))


def lr(e, first, dense, p, o, each):
    return first + p["out.bias"].item()


def fm(e, first, dense, p, o, each):
    return first + pair_sum(e) + p["out.bias"].item()


def ffm(e, first, dense, p, o, each):
    fields = len(e)
    by = e.reshape(fields, fields, -1)
    pairs = itertools.combinations(range(fields), 2)
    return first + sum(by[i, j] @ by[j, i] for i, j in pairs) + p["out.bias"].item()


def dnn(e, first, dense, p, o, each):
    return out(p, mlp(p, "dnn", np.concatenate([e.ravel(), dense])))


def wide_deep(e, first, dense, p, o, each):
    return first + dnn(e, first, dense, p, o, each)


def deepfm(e, first, dense, p, o, each):
    return first + pair_sum(e) + dnn(e, first, dense, p, o, each)


def dcn(e, first, dense, p, o, each):
    x0 = x = np.concatenate([e.ravel(), dense])
    for layer in range(o["cross_layers"]):
        x = x0 * (x @ p[f"cross.{layer}.weight"][:, 0]) + p[f"cross.{layer}.bias"] + x
    return out(p, np.concatenate([x, mlp(p, "dnn", x0)]))


def dcnv2(e, first, dense, p, o, each):
    x0 = x = np.concatenate([e.ravel(), dense])
    for layer in range(o["cross_layers"]):
        given = p[f"down.{layer}.weight"] @ x if o["cross_rank"] else x
        x = x0 * dense_layer(p, f"cross.{layer}", given) + x
    return out(p, np.concatenate([x, mlp(p, "dnn", x0)]))


def xdeepfm(e, first, dense, p, o, each):
    x, pooled = e, []
    for layer, size in enumerate(o["cin_layers"]):
        w = p[f"cin.{layer}.weight"].reshape(size, len(x), len(e))
        x = np.stack(
            [
                sum(w[h, i, j] * x[i] * e[j] for i in range(len(x)) for j in range(len(e)))
                for h in range(size)
            ]
        )
        pooled.append(x.sum(axis=1))
    deep = mlp(p, "dnn", np.concatenate([e.ravel(), dense]))
    return first + out(p, np.concatenate([*pooled, deep]))


def dlrm(e, first, dense, p, o, each):
    vectors, given = list(e), []
    if len(dense):
        low = mlp(p, "bottom", dense)
        vectors, given = [low, *vectors], [low]
    dots = [a @ b for a, b in itertools.combinations(vectors, 2)]
    return out(p, mlp(p, "dnn", np.concatenate([*given, dots])))


def gatednn(e, first, dense, p, o, each):
    gated = [v * sigmoid(v @ p["field_gate"][i]) for i, v in enumerate(e)]
    h = np.concatenate([*gated, dense])
    layer = 0
    while f"dnn.{layer}.weight" in p:
        a = relu(dense_layer(p, f"dnn.{layer}", h))
        h = a * sigmoid(p[f"gate.{layer}.weight"] @ a)
        layer += 1
    return out(p, h)


def deepfefm(e, first, dense, p, o, each):
    pairs = [
        e[i] @ (p["field_pair"][at] + p["field_pair"][at].T) @ e[j]
        for at, (i, j) in enumerate(itertools.combinations(range(len(e)), 2))
    ]
    deep = out(p, mlp(p, "dnn", np.concatenate([e.ravel(), dense, pairs])))
    return first + sum(pairs) + deep


def ncf(e, first, dense, p, o, each):
    k = e.shape[1] // 2
    user, item = e[o["user_field"]], e[o["item_field"]]
    deep = mlp(p, "dnn", np.concatenate([user[k:], item[k:]]))
    return out(p, np.concatenate([user[:k] * item[:k], deep]))


def autoint(e, first, dense, p, o, each):
    heads, d = o["attention_heads"], o["attention_dim"]
    x = e
    for layer in range(o["attention_layers"]):
        maps = {
            name: x @ p[f"attention.{layer}.{name}.weight"].T
            for name in ("query", "key", "value", "rest")
        }
        mixed = []
        for head in range(heads):
            part = slice(head * d, (head + 1) * d)
            scores = maps["query"][:, part] @ maps["key"][:, part].T / np.sqrt(d)
            share = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
            mixed.append(share @ maps["value"][:, part])
        x = relu(np.concatenate(mixed, axis=1) + maps["rest"])
    deep = mlp(p, "dnn", np.concatenate([e.ravel(), dense]))
    return out(p, np.concatenate([x.ravel(), deep]))


def din(e, first, dense, p, o, each):
    a = e[o["target_field"]]
    tokens, weights = each[o["history_field"]]
    interest = np.zeros_like(a)
    for token, weight in zip(tokens, weights, strict=True):
        x = np.concatenate([a, token, a - token, a * token])
        layer = 0
        while f"attention.{layer + 1}.weight" in p:
            x = sigmoid(dense_layer(p, f"attention.{layer}", x))
            layer += 1
        if weight > 0:
            interest = interest + dense_layer(p, f"attention.{layer}", x) * token
    vectors = [interest if i == o["history_field"] else v for i, v in enumerate(e)]
    return out(p, mlp(p, "dnn", np.concatenate([*vectors, dense])))


def logits(name, rows, weights, dense, widths, p, o):
    """Logits of n rows by the formula of a family; None for weights or dense numbers of none."""
    found = []
    for at in range(len(rows)):
        w = np.ones(rows.shape[1]) if weights is None else weights[at]
        d = np.empty(0) if dense is None else dense[at]
        first = float((p["linear.weight"][rows[at], 0] * w).sum()) if "linear.weight" in p else 0.0
        e, each = None, []
        if "embedding.weight" in p:
            table, start, fields = p["embedding.weight"][rows[at]], 0, []
            for width in widths:
                part = slice(start, start + width)
                each.append((table[part], w[part]))
                fields.append((table[part] * w[part, None]).sum(axis=0))
                start += width
            e = np.stack(fields)
        found.append(globals()[name](e, first, d, p, o, each))
    return np.array(found)
