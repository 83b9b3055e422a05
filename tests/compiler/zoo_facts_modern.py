"""Facts of the modern reference nets, for one input of the registry's shape."""

from __future__ import annotations

# Multiply-accumulates of convolutions and matrix products, as PyTorch's counter has them.
MACS = {
    "mobilenet_v1": 568_740_352,
    "mobilenet_v2": 300_774_272,
    "mobilenet_v3_large": 216_589_760,
    "mobilenet_v3_small": 56_510_400,
    "efficientnet_b0": 385_814_752,
    "shufflenet_v2_x1_0": 144_907_992,
    "convnext_tiny": 4_455_531_264,
    "convmixer_768_32": 20_676_851_712,
    "repvgg_a0": 1_512_581_120,
    "mobileone_s0": 1_051_935_232,
    "ghostnet_100": 141_150_512,
    "repvit_m0_9": 817_280_832,
    "cspdarknet53": 6_533_652_480,
    "unet": 48_171_581_440,
    "fcn_resnet50": 26_484_498_432,
    "deeplabv3_resnet50": 31_310_548_992,
    "c3d": 38_548_959_232,
    "r3d_18": 40_696_553_472,
    "r2plus1d_18": 40_519_080_960,
    "s3d": 17_978_771_456,
    "i3d": 111_153_143_808,
}

# GMACs as torchvision publishes them with its checkpoints; MobileNet's as its paper does, C3D's as later papers do.
PUBLISHED_GMACS = {
    "mobilenet_v1": 0.569,
    "mobilenet_v2": 0.301,
    "mobilenet_v3_large": 0.217,
    "mobilenet_v3_small": 0.057,
    "efficientnet_b0": 0.386,
    "shufflenet_v2_x1_0": 0.145,
    "convnext_tiny": 4.456,
    "c3d": 38.5,
    "r3d_18": 40.697,
    "r2plus1d_18": 40.519,
    "s3d": 17.979,
}

# GMACs as timm publishes them: its counter also counts BatchNorm, and it rounds to two decimals.
TIMM_GMACS = {
    "mobilenet_v1": 0.58,
    "convnext_tiny": 4.47,
    "repvgg_a0": 1.52,
    "mobileone_s0": 1.09,
    "ghostnet_100": 0.15,
    "repvit_m0_9": 0.83,
}

# Parameters and GMACs of torchvision's segmentation nets at 520x520, with the auxiliary head that we leave out.
WITH_AUXILIARY_HEAD = {
    "fcn_resnet50": (35_322_218, 152.717),
    "deeplabv3_resnet50": (42_004_074, 178.722),
}

# Output shape of one input.
SHAPES = {
    **dict.fromkeys(MACS, (1, 1000)),
    **dict.fromkeys(("r3d_18", "r2plus1d_18", "s3d", "i3d"), (1, 400)),
    "c3d": (1, 487),
    "unet": (1, 2, 256, 256),
    "fcn_resnet50": (1, 21, 224, 224),
    "deeplabv3_resnet50": (1, 21, 224, 224),
}

# Entries of the state dict, and some of their names as torchvision's or timm's checkpoints spell them.
KEYS = {
    "mobilenet_v1": (164, ["conv_stem.weight", "bn1.weight", "blocks.0.0.conv_dw.weight", "blocks.4.1.bn2.running_var",
                           "blocks.3.5.conv_pw.weight", "classifier.bias"]),
    "mobilenet_v2": (314, ["features.0.0.weight", "features.1.conv.0.0.weight", "features.1.conv.2.running_mean",
                           "features.17.conv.1.1.weight", "features.17.conv.3.bias", "features.18.1.weight",
                           "classifier.1.weight"]),
    "mobilenet_v3_large": (312, ["features.0.0.weight", "features.1.block.0.0.weight", "features.4.block.2.fc1.bias",
                                 "features.15.block.3.1.running_var", "classifier.0.weight", "classifier.3.bias"]),
    "mobilenet_v3_small": (244, ["features.1.block.1.fc2.weight", "features.12.0.weight", "classifier.3.weight"]),
    "efficientnet_b0": (360, ["features.1.0.block.0.0.weight", "features.1.0.block.1.fc1.weight",
                              "features.6.3.block.3.1.bias", "features.8.1.running_mean", "classifier.1.bias"]),
    "shufflenet_v2_x1_0": (338, ["conv1.0.weight", "stage2.0.branch1.3.weight", "stage3.7.branch2.6.running_var",
                                 "stage4.0.branch1.0.weight", "conv5.1.bias", "fc.weight"]),
    "convnext_tiny": (182, ["features.0.1.weight", "features.1.0.layer_scale", "features.1.0.block.0.bias",
                            "features.2.1.weight", "features.5.8.block.5.bias", "features.7.2.block.2.weight",
                            "classifier.0.bias", "classifier.2.weight"]),
    "convmixer_768_32": (457, ["stem.0.bias", "stem.2.running_var", "blocks.0.0.fn.0.weight", "blocks.31.0.fn.2.bias",
                               "blocks.31.1.bias", "blocks.31.3.weight", "head.weight"]),
    "repvgg_a0": (351, ["stem.conv_kxk.conv.weight", "stem.conv_1x1.bn.weight", "stages.0.1.identity.running_mean",
                        "stages.2.13.conv_kxk.bn.bias", "stages.3.0.conv_1x1.conv.weight", "head.fc.bias"]),
    "mobileone_s0": (1323, ["stem.conv_kxk.0.conv.weight", "stem.conv_scale.bn.weight",
                            "stages.1.2.conv_kxk.3.bn.running_var", "stages.1.3.identity.weight",
                            "stages.2.19.conv_kxk.0.conv.weight", "stages.3.0.conv_scale.conv.weight",
                            "head.fc.weight"]),
    "ghostnet_100": (512, ["conv_stem.weight", "blocks.0.0.ghost1.primary_conv.0.weight", "blocks.1.0.conv_dw.weight",
                           "blocks.1.0.shortcut.3.bias", "blocks.3.0.se.conv_reduce.bias",
                           "blocks.8.3.ghost2.cheap_operation.1.running_mean", "blocks.9.0.bn1.weight",
                           "conv_head.bias", "classifier.weight"]),
    "repvit_m0_9": (713, ["stem.conv1.c.weight", "stages.0.blocks.0.token_mixer.conv1.bias",
                          "stages.0.blocks.0.se.fc1.weight", "stages.1.downsample.pre_block.token_mixer.bn.bias",
                          "stages.2.downsample.spatial_downsample.bn.weight", "stages.3.downsample.ffn.conv2.c.weight",
                          "stages.2.blocks.13.channel_mixer.conv1.c.weight", "head.head.bn.running_var",
                          "head.head_dist.l.bias"]),
    "cspdarknet53": (404, ["stem.conv1.conv.weight", "stages.0.conv_down.bn.weight", "stages.0.conv_exp.conv.weight",
                           "stages.2.blocks.7.conv2.conv.weight", "stages.4.conv_transition_b.bn.running_mean",
                           "stages.4.conv_transition.conv.weight", "head.fc.weight"]),
    "unet": (118, ["inc.double_conv.0.weight", "down4.maxpool_conv.1.double_conv.4.bias", "up1.up.weight",
                   "up4.conv.double_conv.1.running_var", "outc.conv.bias"]),
    "fcn_resnet50": (326, ["backbone.conv1.weight", "backbone.layer4.2.bn3.weight", "classifier.0.weight",
                           "classifier.1.running_mean", "classifier.4.bias"]),
    "deeplabv3_resnet50": (362, ["backbone.layer3.0.downsample.1.weight", "classifier.0.convs.0.0.weight",
                                 "classifier.0.convs.3.1.bias", "classifier.0.convs.4.1.weight",
                                 "classifier.0.project.0.weight", "classifier.1.weight", "classifier.4.bias"]),
    "c3d": (22, ["conv1.weight", "conv3b.bias", "fc6.weight", "fc8.bias"]),
    "r3d_18": (122, ["stem.0.weight", "layer1.0.conv1.0.weight", "layer1.0.conv1.1.running_var",
                     "layer2.0.downsample.1.bias", "layer4.1.conv2.1.weight", "fc.bias"]),
    "r2plus1d_18": (224, ["stem.3.weight", "stem.4.bias", "layer1.0.conv1.0.3.weight", "layer4.1.conv2.0.1.weight",
                          "layer4.1.conv2.1.running_mean", "fc.weight"]),
    "s3d": (464, ["features.0.0.0.weight", "features.0.1.1.bias", "features.2.0.weight",
                  "features.5.branch1.1.1.0.weight", "features.15.branch3.1.1.running_var", "classifier.1.bias"]),
    "i3d": (344, ["Conv3d_1a_7x7.conv3d.weight", "Conv3d_2c_3x3.bn.running_var", "Mixed_3b.b1a.conv3d.weight",
                  "Mixed_4f.b2b.bn.bias", "Mixed_5c.b3b.bn.num_batches_tracked", "logits.conv3d.bias"]),
}  # fmt: skip
