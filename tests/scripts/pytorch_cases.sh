# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154   # pytorch_model.sh, which sources this, has made the files
# The runs of pytorch_model.sh: every module, its modes, and what else changes the model.
for kind in softmax linear causal_pivot mean none performer sinkformer espformer; do on_listops "$kind" ".kind=$kind"; done
on_listops softmax-reference .kind=softmax .mode=reference
on_listops performer-favor .kind=performer .mode=favor
on_listops performer-reference .kind=performer .mode=reference .features=24
on_listops performer-relu .kind=performer .kernel=relu
on_listops performer-redrawn .kind=performer .redraw_every=7
on_listops sinkformer-even .kind=sinkformer .half_iterations=4 .epsilon=0.3
on_listops sinkformer-exact .kind=sinkformer .mode=exact
on_listops sinkformer-reference .kind=sinkformer .mode=reference
on_listops sinkformer-nlp .kind=sinkformer .mode=reference_nlp
on_listops espformer-soft .kind=espformer .tau=0.1 .inverse_temperature=0.05
on_listops espformer-mean .kind=espformer .tau=0.02 .inverse_temperature=0
on_listops espformer-reference .kind=espformer .mode=reference .inverse_temperature=0.1 .tau=0.01
on_listops espformer-fill .kind=espformer .mode=reference_fill
on_listops espformer-learned .kind=espformer .slices=learned .slice_count=3 .tau=0.01 .inverse_temperature=0.2
on_listops espformer-given .kind=espformer .slices=given .tau=0.01
on_listops espformer-sampled .kind=espformer .weights=sampled .weight_samples=7 .inverse_temperature=0.2 .tau=0.01
on_listops espformer-hard .kind=espformer .hard=true .inverse_temperature=0.2
sharp=(.kind=lotformer .pivot_init=unit_score .epsilon=0.1 .pivots=5)
on_listops lotformer "${sharp[@]}"
on_listops lotformer-flat .kind=lotformer
on_listops lotformer-truncated "${sharp[@]}" .mode=truncated .half_iterations=7 .masses=learned
on_listops lotformer-reference "${sharp[@]}" .mode=reference .half_iterations=6
on_listops lotformer-masses "${sharp[@]}" .masses=learned
on_listops lotformer-weighted "${sharp[@]}" .token_masses=uniform/learned .token_mass_spread=1
on_listops lotformer-weighted-both "${sharp[@]}" .token_masses=learned .token_mass_spread=1
on_listops lotformer-relaxed "${sharp[@]}" .relaxation=0.3/0.05
on_listops lotformer-relaxation-learned "${sharp[@]}" .relaxation=0.3 .relaxation_learned=true .masses=learned
on_listops lotformer-query "${sharp[@]}" .marginals=query .relaxation=0.2 .relaxation_learned=true
on_listops lotformer-key "${sharp[@]}" .marginals=key
on_listops lotformer-none "${sharp[@]}" .marginals=none
on_listops lotformer-none-pivots "${sharp[@]}" .marginals=none .free_keys=pivots .token_masses=learned
on_listops lotformer-cosine "${sharp[@]}" .qk_norm=l2 .masses=learned
on_listops lotformer-adaptive "${sharp[@]}" .adaptive_rank.every=5 .adaptive_rank.budget=1
on_listops pool-cls .kind=softmax model.pooling=cls
on_listops pool-cls-lotformer "${sharp[@]}" model.pooling=cls model.end_positions=true
on_listops pool-attention .kind=softmax model.pooling=attention model.position_init=sinusoidal
on_listops pool-padded .kind=linear model.pooling=padded_mean data.pad_to=128 model.end_positions=true
on_listops protocol-lotformer protocol=lotformer .kind=lotformer data.max_length=100 data.pad_to=100 .half_iterations=6 model.head_dim=6 eval.drop_last=false
on_listops protocol-espformer protocol=lotformer .kind=espformer data.max_length=100 data.pad_to=100 eval.drop_last=false
case_of retrieval retrieval "$retrieval" data.max_length=200 "${sharp[@]}"
case_of retrieval-cls retrieval "$retrieval" data.max_length=200 .kind=performer .mode=favor model.pooling=cls
case_of image-masked image "$work/image.jsonl" data.max_length=0 .kind=lotformer data.mask_zero_pixels=true eval.batch_size=5
case_of image-masked-cls image "$work/image.jsonl" data.max_length=0 .kind=softmax data.mask_zero_pixels=true data.pad_to=1030 model.pooling=cls
case_of image-real image "$work/image.jsonl" data.max_length=0 .kind=linear data.input=real data.input_mean=0.48 data.input_std=0.24
case_of custom-ids custom "$work/data-custom/test.tsv" data.tokenizer=ids .kind=sinkformer
