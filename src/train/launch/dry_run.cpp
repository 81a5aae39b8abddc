// SPDX-License-Identifier: MIT
#include "begin.h"
#include "lotformer/attention/attention.h"
#include "lotformer/core/log.h"
#include "lotformer/core/text.h"
#include "lotformer/train/device.h"
#include "lotformer/train/launch.h"
#include "train/feed/batch_stream.h"
#include "train/run/results.h"
#include "train/step/training_step.h"

namespace lotformer {

Json dry_run(const TrainRequest& request) {
  const Kinds kinds = {attention_kinds(), data::task_kinds()};
  const Config config = load_config(request.config, kinds);
  wait_passively(config.train.threads);
  Session session = open_session(config, parse_device(request.device));
  announce(session, {});
  log::info("configuration:\n" + print_config(request.config, kinds));
  log::info("parameters:\n" + parameter_table(*session.model));
  const BatchMaker train(open_split(session, data::Split::train), config.data, session.device,
                         batch_shapes(session));
  const data::Sampler sampler(train.dataset().size(), config.train.batch_size,
                              static_cast<uint64_t>(config.train.seed));
  session.model->train();
  const auto batches = training_stream(train, sampler, config, 0, 1);
  const BatchGradients sums =
      accumulate_gradients(session, next_step(*batches, training_chunks(config.train)).chunks, {});
  Json json = describe_run(session);
  json["dry_run"] = true;
  json["loss"] = sums.loss_sum.item<double>() / static_cast<double>(config.train.batch_size);
  json["peak_memory_bytes"] = peak_memory_bytes(session.device);
  log::info(concat("dry run: one batch of ", config.train.batch_size, " examples forward and backward, loss ",
                   format_fixed(json["loss"], 4), ", ", format_count(json["parameters"]),
                   " parameters, peak memory ", format_bytes(json["peak_memory_bytes"])));
  return json;
}

}  // namespace lotformer
