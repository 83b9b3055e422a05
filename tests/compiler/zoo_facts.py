"""What is known of the reference nets from outside this project: sizes, costs, names."""

from __future__ import annotations

# Multiply-accumulates of convolutions and dense layers at batch 1, counted by PyTorch's FlopCounterMode.
MACS = {
    "lenet5": 416_520,
    "alexnet": 714_188_480,
    "alexnet_2012": 724_406_816,
    "vgg16": 15_470_264_320,
    "vgg16_bn": 15_470_264_320,
    "resnet18": 1_814_073_344,
    "resnet34": 3_663_761_408,
    "resnet50": 4_089_184_256,
    "resnet50_v1": 3_857_973_248,
    "resnet50d": 4_328_824_832,
    "resnet50_gn": 4_089_184_256,
    "wide_resnet50_2": 11_398_021_120,
    "resnext50_32x4d": 4_230_479_872,
    "seresnet50": 4_091_699_200,
    "preactresnet18": 1_814_073_344,
    "nf_resnet26": 2_342_256_640,
    "resnet20": 40_551_040,
    "resnet56": 125_485_696,
    "plain20": 40_551_040,
    "plain56": 125_485_696,
    "densenet121": 2_834_161_664,
    "googlenet": 1_498_376_192,
    "inception_v3": 5_713_216_096,
    "squeezenet1_0": 818_924_576,
    "squeezenet1_1": 349_151_936,
    "regnet_y_400mf": 401_842_848,
}

# The same of nets with more than one input, each of its shape in the registry.
MACS_OF_SEVERAL_INPUTS = {
    "conv_gru": 19_017_176_512,
    "cnn_lstm": 708_015_904,
    "two_stream": 4_277_888_928,
    "two_stream_i3d": 213_494_579_200,
}

# The same in units of 1e9, as others print them; our count, rounded to their digits, must agree. Papers that count
# something else are left out: ResNet-34 (3.6, cut off, not rounded), Inception v3 ("5 billion") and SE-ResNet-50 (3.87,
# as its strides are those of `resnet50_v1`; timm's net has the later ones).
PUBLISHED_GMACS = {
    "alexnet": "0.714",  # torchvision's weights table, as all others with three decimals
    "alexnet_2012": "0.724",  # Sze et al., Efficient Processing of Deep Neural Networks, 2017
    "vgg16": "15.470",
    "vgg16_bn": "15.470",
    "resnet18": "1.814",
    "resnet34": "3.664",
    "resnet50": "4.089",
    "resnet50_v1": "3.86",  # Hu et al., Squeeze-and-Excitation Networks, 2017; the ResNet paper cuts it off at 3.8
    "wide_resnet50_2": "11.398",
    "resnext50_32x4d": "4.230",
    "resnet56": "0.12549",  # Lin et al., HRank: Filter Pruning using High-Rank Feature Map, 2020
    "densenet121": "2.834",
    "googlenet": "1.498",
    "inception_v3": "5.713",
    "squeezenet1_0": "0.819",
    "squeezenet1_1": "0.349",
    "regnet_y_400mf": "0.402",
}

# Entries of the state dict, and some of their names: torchvision's where it has the net, else timm's.
STATE_DICT = {
    "alexnet": (16, ["features.0.weight", "features.10.bias", "classifier.1.weight", "classifier.6.bias"]),
    "alexnet_2012": (16, ["features.0.weight", "features.12.bias", "classifier.1.weight", "classifier.6.bias"]),
    "vgg16": (32, ["features.0.weight", "features.28.bias", "classifier.0.weight", "classifier.6.bias"]),
    "vgg16_bn": (97, ["features.0.bias", "features.1.running_mean", "features.41.bias", "classifier.6.bias"]),
    "resnet18": (122, ["conv1.weight", "bn1.running_var", "layer2.0.downsample.0.weight", "fc.bias"]),
    "resnet50": (320, ["layer1.0.conv3.weight", "layer1.0.downsample.1.num_batches_tracked", "layer3.5.bn3.weight"]),
    "resnet50_v1": (320, ["layer1.0.conv3.weight", "layer1.0.downsample.1.num_batches_tracked"]),
    "resnet50d": (332, ["conv1.3.weight", "conv1.4.running_var", "conv1.6.weight", "layer2.0.downsample.1.weight"]),
    "resnet50_gn": (161, ["bn1.weight", "layer1.0.bn2.bias", "layer1.0.downsample.1.bias", "fc.weight"]),
    "wide_resnet50_2": (320, ["layer1.0.conv2.weight", "layer4.2.bn3.running_mean"]),
    "resnext50_32x4d": (320, ["layer1.0.conv2.weight", "layer4.2.bn3.running_mean"]),
    "seresnet50": (384, ["layer1.0.se.fc1.weight", "layer4.2.se.fc2.bias", "layer1.0.downsample.0.weight"]),
    "preactresnet18": (107, ["conv1.weight", "layer1.1.bn1.weight", "layer2.0.downsample.weight", "norm.bias"]),
    "nf_resnet26": (
        89,
        ["stem.conv.gain", "stages.0.0.downsample.conv.weight", "stages.3.1.conv3.bias", "head.fc.bias"],
    ),
    "resnet20": (116, ["conv1.weight", "layer3.2.bn2.running_var", "fc.bias"]),
    "densenet121": (
        727,
        ["features.conv0.weight", "features.denseblock3.denselayer24.norm2.bias", "features.transition3.conv.weight"],
    ),
    "googlenet": (344, ["conv1.conv.weight", "inception3a.branch2.1.bn.bias", "inception5b.branch4.1.conv.weight"]),
    "inception_v3": (
        566,
        ["Conv2d_1a_3x3.bn.weight", "Mixed_6c.branch7x7dbl_5.conv.weight", "Mixed_7c.branch_pool.bn.bias"],
    ),
    "squeezenet1_0": (52, ["features.0.weight", "features.7.expand3x3.bias", "classifier.1.weight"]),
    "squeezenet1_1": (52, ["features.0.weight", "features.6.expand3x3.bias", "classifier.1.weight"]),
    "regnet_y_400mf": (
        384,
        ["stem.0.weight", "trunk_output.block1.block1-0.proj.1.bias", "trunk_output.block4.block4-5.f.se.fc2.bias"],
    ),
}
