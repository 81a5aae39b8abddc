// SPDX-License-Identifier: MIT
#include "batch_stream.h"

#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"

namespace lotformer {
namespace {

constexpr int64_t kWidthStep = 128;   // of rounded widths
constexpr int64_t kLeastSlots = 128;  // step of rounded token rows, and
constexpr int64_t kSlotSteps = 32;    // at most about so many of them, and so much waste

int64_t round_up(int64_t value, int64_t step) {
  return (value + step - 1) / step * step;
}

}  // namespace

BatchShapes batch_shapes(const Session& session) {
  const bool wanted = session.device.is_cuda() || session.config.train.graph == "on";
  return wanted && !session.model->depends_on_width() ? BatchShapes::rounded : BatchShapes::exact;
}

BatchMaker::BatchMaker(data::Dataset dataset, const DataConfig& config, c10::Device device,
                       BatchShapes shapes)
    : dataset_(std::move(dataset)), pad_to_(config.pad_to), device_(device) {
  if (shapes == BatchShapes::rounded) {
    most_width_ = std::max<int64_t>(1, pad_to_);
    for (int64_t row = 0; row < dataset_.size(); ++row) {
      for (int64_t s = 0; s < dataset_.sequences(); ++s)
        most_width_ = std::max(most_width_, dataset_.length(row, s));
    }
  }
  if (wants_residence(config.on_device, dataset_, device))
    resident_ = std::make_unique<const ResidentSplit>(dataset_, device);
}

/// A batch whose tokens are all real has one shape as it is.
void BatchMaker::round_shapes(Prepared& prepared, size_t rows) const {
  if (most_width_ == 0 ||
      (!dataset_.masks_zeros() && dataset_.fixed_bytes() > 0 && dataset_.fixed_bytes() == prepared.width))
    return;
  prepared.width = std::min(round_up(std::max<int64_t>(1, prepared.width), kWidthStep), most_width_);
  const int64_t places = dataset_.sequences() * static_cast<int64_t>(rows) * prepared.width;
  const auto step =
      static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(std::max(kLeastSlots, places / kSlotSteps))));
  prepared.slots = std::min(round_up(std::max<int64_t>(1, prepared.tokens), step), places);
}

BatchMaker::Prepared BatchMaker::prepare(std::span<const int64_t> rows) const {
  Prepared prepared;
  prepared.width = batch_width(dataset_, rows, pad_to_);
  prepared.tokens = count_tokens(dataset_, rows);
  round_shapes(prepared, rows.size());
  if (!resident_) {
    prepared.batch = make_host_batch(dataset_, rows, prepared.width, device_.is_cuda());
    return prepared;
  }
  const auto options = at::TensorOptions().dtype(at::kLong).pinned_memory(device_.is_cuda());
  prepared.rows = at::empty({static_cast<int64_t>(rows.size())}, options);
  std::copy(rows.begin(), rows.end(), prepared.rows.data_ptr<int64_t>());
  return prepared;
}

Batch BatchMaker::finish(const Prepared& prepared) const {
  Batch batch = resident_
                    ? resident_->gather(prepared.rows.to(device_, /*non_blocking=*/true), prepared.width)
                    : to_device(prepared.batch, device_);
  batch.token_slots = prepared.slots;
  return batch;
}

BatchStream::BatchStream(const BatchMaker& maker, Rows rows, int64_t first, int64_t end, int64_t prefetch)
    : maker_(maker),
      rows_(std::move(rows)),
      next_(first),
      end_(end),
      prefetch_(static_cast<size_t>(prefetch)) {
  if (prefetch > 0 && first < end)
    thread_ = std::jthread([this, first](const std::stop_token& stop) { work(first, stop); });
}

BatchStream::~BatchStream() = default;  // std::jthread asks the thread to stop, wakes it and waits

void BatchStream::work(int64_t number, const std::stop_token& stop) {
  try {
    const c10::OptionalDeviceGuard guard(maker_.device().is_cuda() ? std::optional(maker_.device())
                                                                   : std::nullopt);  // a state of the thread
    for (; number < end_; ++number) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, stop, [this] { return waiting_.size() < prefetch_; });
        if (stop.stop_requested()) return;
      }
      BatchMaker::Prepared prepared = maker_.prepare(rows_(number));
      const std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(prepared));
      changed_.notify_all();
    }
  } catch (...) {
    const std::lock_guard lock(mutex_);
    failure_ = std::current_exception();
    changed_.notify_all();
  }
}

BatchMaker::Prepared BatchStream::wait_for_next() {
  if (!thread_.joinable()) return maker_.prepare(rows_(next_));
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !waiting_.empty() || failure_; });
  if (waiting_.empty()) std::rethrow_exception(failure_);
  BatchMaker::Prepared prepared = std::move(waiting_.front());
  waiting_.pop_front();
  changed_.notify_all();
  return prepared;
}

BatchStream::Item BatchStream::next() {
  if (next_ >= end_) throw Error(ErrorKind::internal, concat("batches: all ", end_, " have been given out"));
  const BatchMaker::Prepared prepared = wait_for_next();
  ++next_;
  return {maker_.finish(prepared), prepared.tokens};
}

int64_t training_chunks(const TrainConfig& config, int64_t processes) {
  return chunks_of_share(config.accumulate, config.batch_size, processes);
}

int64_t chunks_of_share(int64_t wanted, int64_t batch_size, int64_t processes) {
  return std::max<int64_t>(1, std::min((wanted + processes - 1) / processes, batch_size / processes));
}

StepBatches next_step(BatchStream& stream, int64_t chunks) {
  StepBatches step;
  for (int64_t c = 0; c < chunks; ++c) {
    auto [batch, tokens] = stream.next();
    step.chunks.push_back(std::move(batch));
    step.tokens += tokens;
  }
  return step;
}

std::unique_ptr<BatchStream> training_stream(const BatchMaker& maker, const data::Sampler& sampler,
                                             const Config& config, int64_t first, int64_t end,
                                             const StepLayout& layout) {
  const int64_t chunks = layout.chunks > 0 ? layout.chunks : training_chunks(config.train, layout.processes);
  // A sampler of its own, because it remembers the last epochs' order and two threads must not.
  auto rows = [sampler = sampler, layout, chunks](int64_t number) mutable {
    const std::vector<int64_t> batch = sampler.batch(layout.skipped.batch_of(number / chunks));
    const Share mine = share_of(static_cast<int64_t>(batch.size()), layout.rank, layout.processes);
    const Share chunk = share_of(mine.end - mine.first, number % chunks, chunks);
    return std::vector(batch.begin() + mine.first + chunk.first, batch.begin() + mine.first + chunk.end);
  };
  return std::make_unique<BatchStream>(maker, std::move(rows), first * chunks, end * chunks,
                                       config.data.prefetch);
}

}  // namespace lotformer
