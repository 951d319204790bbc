from typing import Any

#: The settings of the papers and of their released code, as :meth:`~torch_imf.recipe` has them, by
#: name and model. Where a paper prints a range, it is the middle of it, and where it prints nothing
#: (sizes of batches, numbers of epochs, and rates of IMF), it is what its released code has.
PUBLISHED: dict[str, dict[str, dict[str, Any]]] = {"paper": {}, "released": {}}

TRAINING: dict[str, Any] = {"optimizer": "adam", "epochs": 1000, "eval_every": 10}

PUBLISHED["paper"]["imf"] = {
    "hidden_channels": 256,
    # Eq. 1-2. The vectors stay as they are, of any length:
    "structure": {
        "use": "frozen",
        "heads": 2,
        "dropout": 0.3,
        "num_negatives": 2,
        "normalize": False,
        "residual": False,
        # All facts at once:
        "fit": {
            **{"optimizer": "adam", "lr": 5e-4, "batch_size": 10**9, "weight_decay": 1e-5},
            **{"epochs": 3000, "eval_every": 100},
        },
    },
    # Eq. 4, without biases, as it is printed:
    "fusion": "imf",
    "fusion.rank": 1,
    "fusion.all_orders": False,
    "fusion.bias": False,
    # Eq. 6, of the weight that it has in Eq. 10:
    "contrastive.weight": 1.0,
    # Eq. 7-8, the sigmoid of a cosine:
    "scorer": "contextual",
    "scorer.similarity": "cosine",
    "scorer.scale": 1.0,
    "scorer.learn_scale": False,
    "scorer.logit_bias": None,
    # Eq. 9, the mean over candidates:
    "loss": "bce",
    "loss.reduction": "mean",
    # Eq. 10-11. Learned weights would have no optimum:
    "decision": 1.0,
    "batch_size": 256,
    "lr": 5e-4,
    **TRAINING,
}

PUBLISHED["released"]["imf"] = {
    "hidden_channels": 256,
    "rel_channels": 256,
    "fusion": "mutan",
    "fusion.rank": 2,
    "fusion.dropout": 0.2,
    "contrastive": False,
    "scorer": "tucker",
    "scorer.input_dropout": 0.3,
    "scorer.hidden_dropout": 0.4,
    "scorer.output_dropout": 0.5,
    "shared_relations": False,
    # Labels are 0.9 y + 1 / N:
    "loss": "bce",
    "loss.reduction": "mean",
    "loss.label_smoothing": 0.1,
    "loss.spread": 1.0,
    "decision": 1.0,
    "batch_size": 256,
    "lr": 5e-4,
    **TRAINING,
}

PUBLISHED["paper"]["adamf"] = {
    "hidden_channels": 400,  # 200 complex numbers.
    # Eq. 4-5, with a weight for each channel:
    "fusion": "adamf",
    "fusion.elementwise": True,
    # Eq. 6, with one vector for both directions of a relation:
    "scorer": "rotate",
    "scorer.margin": 4.0,
    "tie_inverses": True,
    # Eq. 7-8, with the likeliest negatives counting most:
    "loss": "sampled",
    "loss.num_negatives": 64,
    "loss.temperature": 1.0,
    # Eq. 9-11:
    "adversary.weight": 0.01,
    "adversary.num_groups": 1,
    "adversary.noise_channels": 64,
    "batch_size": 1024,
    "lr": 1e-4,
    **TRAINING,
}

# That of MKG-Y, whose adversarial loss has weight zero:
PUBLISHED["released"]["adamf"] = {
    "hidden_channels": 400,
    "fusion": "adamf",
    "fusion.shared": True,
    "scorer": "rotate",
    "scorer.margin": 4.0,
    "tie_inverses": True,
    "loss": "sampled",
    "loss.sampler": "bernoulli",
    "loss.num_negatives": 128,
    "loss.temperature": 2.0,
    "batch_size": 1024,
    "lr": 2e-5,
    **TRAINING,
}
