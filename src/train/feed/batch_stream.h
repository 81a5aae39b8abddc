// SPDX-License-Identifier: MIT
// Batches one after the other, the next ones made by a thread while the model works on the last.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <stop_token>
#include <thread>
#include <vector>

#include "loader.h"
#include "lotformer/config/config.h"
#include "lotformer/data/dataset.h"
#include "lotformer/data/sampler.h"
#include "resident_split.h"
#include "skipped_batches.h"
#include "train/session.h"

namespace lotformer {

/// Makes batches of one split, from the host's memory or from a copy on the device (`data.on_device`); the
/// tensors are the same, bit for bit. Work is divided so that the first part needs no device and may run in
/// another thread.
/// exact: as wide as the longest sequence. rounded: a few widths and numbers of token rows
/// (Batch::token_slots) serve all batches, so that a step of a shape can be recorded once. Padding is all
/// that differs.
enum class BatchShapes { exact, rounded };
/// rounded on a GPU and with `train.graph: on`, unless the model's logits depend on the width.
BatchShapes batch_shapes(const Session& session);

class BatchMaker {
 public:
  BatchMaker(data::Dataset dataset, const DataConfig& config, c10::Device device,
             BatchShapes shapes = BatchShapes::exact);

  const data::Dataset& dataset() const { return dataset_; }
  c10::Device device() const { return device_; }
  /// Bytes of the copy on the device; 0: there is none.
  int64_t resident_bytes() const { return resident_ ? resident_->bytes() : 0; }

  struct Prepared {
    /// Host tensors, pinned for CUDA; empty when the split is resident.
    Batch batch;
    /// int64 [B] on the host, pinned for CUDA; only when the split is resident.
    at::Tensor rows;
    /// Tokens of a sequence, padding included.
    int64_t width = 0;
    /// As Batch::token_slots.
    int64_t slots = 0;
    /// Real ones.
    int64_t tokens = 0;
  };
  /// Host part; thread-safe.
  Prepared prepare(std::span<const int64_t> rows) const;
  /// Device part: copies that do not wait, or the gather.
  Batch finish(const Prepared& prepared) const;
  Batch make(std::span<const int64_t> rows) const { return finish(prepare(rows)); }

 private:
  void round_shapes(Prepared& prepared, size_t rows) const;

  data::Dataset dataset_;
  int64_t pad_to_;
  c10::Device device_;
  int64_t most_width_ = 0;  // of rounded shapes; 0: exact
  std::unique_ptr<const ResidentSplit> resident_;
};

/// Batches number `first` ... `end` - 1 of a function from numbers to rows. With `prefetch` > 0 a thread
/// prepares them in order and at most that many wait; with 0 each is prepared when it is asked for. What
/// comes out does not depend on it.
class BatchStream {
 public:
  /// Called with rising numbers, by the thread alone when there is one.
  using Rows = std::function<std::vector<int64_t>(int64_t number)>;
  struct Item {
    Batch batch;
    /// Real ones.
    int64_t tokens = 0;
  };

  /// `maker` must outlive the stream.
  BatchStream(const BatchMaker& maker, Rows rows, int64_t first, int64_t end, int64_t prefetch);
  /// Ends the thread after the batch at hand.
  ~BatchStream();
  BatchStream(const BatchStream&) = delete;
  BatchStream& operator=(const BatchStream&) = delete;

  /// The next batch, on the maker's device. Throws what making it threw, after all batches before it.
  /// Error(internal) at the end.
  Item next();

 private:
  void work(int64_t number, const std::stop_token& stop);
  BatchMaker::Prepared wait_for_next();

  const BatchMaker& maker_;
  Rows rows_;
  int64_t next_, end_;
  size_t prefetch_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<BatchMaker::Prepared> waiting_;  // under the mutex
  std::exception_ptr failure_;                // under the mutex; behind what waits
  std::jthread thread_;                       // last: it uses all of the above
};

/// Number of chunks that a process's part of a training batch is divided into: together at least
/// train.accumulate.
int64_t training_chunks(const TrainConfig& config, int64_t processes = 1);
/// The same where `wanted` chunks are to be made of the whole batch.
int64_t chunks_of_share(int64_t wanted, int64_t batch_size, int64_t processes);
struct StepBatches {
  std::vector<Batch> chunks;
  /// Real tokens of all chunks.
  int64_t tokens = 0;
};
/// The `chunks` of the next training step of a training_stream.
StepBatches next_step(BatchStream& stream, int64_t chunks);
/// How a run divides its steps where that is not what the configuration says.
struct StepLayout {
  /// Of a process's part of a batch; 0: training_chunks().
  int64_t chunks = 0;
  SkippedBatches skipped = {};
  /// Whose part of every batch: that of `rank` of `processes`.
  int64_t rank = 0, processes = 1;
};
/// The chunks of the training steps `first` ... `end` - 1. Together the processes have the batches that one
/// would have.
std::unique_ptr<BatchStream> training_stream(const BatchMaker& maker, const data::Sampler& sampler,
                                             const Config& config, int64_t first, int64_t end,
                                             const StepLayout& layout = {});

}  // namespace lotformer
