import torch

from cfray.world import corpora
from cfray.world.build.autoencoder import new_autoencoder, train_decoder
from cfray.world.build.loop import mixed_precision, to_float


def test_training_the_decoder_leaves_latents_as_they_are(tmp_path):
    torch.manual_seed(0)
    model = new_autoencoder()
    pictures = torch.from_numpy(corpora.portraits(8, 5).pictures)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    trained = train_decoder(model, pictures, tmp_path, steps=2, batch=4)
    changed = {key for key, value in trained.state_dict().items() if not torch.equal(before[key], value)}
    assert changed and all(key.startswith(("decoder.", "post_quant_conv.")) for key in changed)
    assert trained(to_float(pictures[:1])).sample.shape == (1, 3, 64, 64)


def test_bfloat16_is_used_only_where_the_cpu_multiplies_it():
    cpu = torch.cpu.get_capabilities()
    with mixed_precision():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert (product.dtype == torch.bfloat16) == (cpu["amx_bf16"] or cpu["avx512_bf16"])
