// SPDX-License-Identifier: MIT
// Batches made ahead by a thread and batches gathered from a copy on the device are those of make_batch, bit
// for bit.
#include <ATen/ops/equal.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "lotformer/data/synthetic_generator.h"
#include "support/catch.h"
#include "train/feed/batch_stream.h"
#include "train/fixture_copy.h"

using namespace lotformer;
using lotformer::test::all_rows;
using Copy = lotformer::test::FixtureCopy;

namespace {

bool same(const at::Tensor& a, const at::Tensor& b) {
  if (a.defined() != b.defined()) return false;
  return !a.defined() || (a.scalar_type() == b.scalar_type() && a.is_contiguous() && at::equal(a, b));
}

bool same(const Batch& a, const Batch& b) {
  return same(a.ids, b.ids) && same(a.lengths, b.lengths) && same(a.labels, b.labels) &&
         same(a.positions, b.positions);
}

BatchMaker maker_of(const data::Dataset& dataset, const std::string& on_device, int64_t pad_to = 0,
                    BatchShapes shapes = BatchShapes::exact) {
  DataConfig config;
  config.on_device = on_device;
  config.pad_to = pad_to;
  return BatchMaker(dataset, config, c10::kCPU, shapes);
}

struct Case {
  std::string name, fixture, task;
  std::function<void(data::DataOptions&)> change = [](data::DataOptions&) {};
  std::vector<int64_t> pads = {0};
};

std::vector<Case> cases() {
  const std::string release = "lra_release/lra_release/";
  const auto masked = [](data::DataOptions& options) { options.mask_zero_pixels = true; };
  return {
      {"listops", release + "listops-1000", "listops", [](auto&) {}, {0, 2048}},
      {"text", "aclImdb", "text", [](auto& options) { options.max_length = 300; }, {0, 300, 512}},
      {"text, rows of a holdout", "aclImdb", "text", [](auto& options) { options.val = "holdout"; }},
      {"text by characters", "aclImdb", "text", [](auto& options) { options.tokenizer = "char"; }},
      {"retrieval", release + "tsv_data", "retrieval", [](auto&) {}, {0, 4096}},
      {"image", "cifar-10-batches-bin", "image", [](auto&) {}, {0, 1024, 1030}},
      {"image, black pixels masked", "cifar-10-batches-bin", "image", masked, {0, 1024, 1030}},
      {"pathfinder", release + "pathfinder32/curv_contour_length_14", "pathfinder32", [](auto&) {}},
      {"pathfinder masked",
       release + "pathfinder32/curv_contour_length_14",
       "pathfinder32",
       masked,
       {0, 1100}},
  };
}

/// Batches of 4 rows: 4n ... 4n + 3 modulo the size of the split.
BatchStream::Rows rows_in_turn(int64_t size) {
  return [size](int64_t number) {
    std::vector<int64_t> rows;
    for (int64_t i = 4 * number; i < 4 * number + 4; ++i) rows.push_back(i % size);
    return rows;
  };
}

data::Dataset some_dataset(const Copy& copy) {
  return data::open_task("retrieval", copy.options())->open(data::Split::train);
}

constexpr const char* kPairs = "lra_release/lra_release/tsv_data";

}  // namespace

TEST_CASE("a batch gathered from a resident split is that of make_batch", "[batches]") {
  for (const Case& c : cases()) {
    const Copy copy(c.fixture);
    data::DataOptions options = copy.options();
    c.change(options);
    const auto task = data::open_task(c.task, options);
    for (const data::Split split : {data::Split::train, data::Split::val, data::Split::test}) {
      const data::Dataset dataset = task->open(split);
      for (const int64_t pad_to : c.pads) {
        INFO(c.name << ", " << data::to_string(split) << ", pad_to " << pad_to);
        const BatchMaker resident = maker_of(dataset, "true", pad_to);
        REQUIRE(resident.resident_bytes() > 0);
        const std::vector<int64_t> all = all_rows(dataset);
        const std::vector<int64_t> few = {dataset.size() - 1, 0, 0, dataset.size() / 2};
        for (const auto& rows : {all, few, std::vector<int64_t>{all.back()}})
          CHECK(same(resident.make(rows), make_batch(dataset, rows, pad_to, c10::kCPU)));
      }
    }
  }
}

TEST_CASE("rounded shapes are few, and differ from exact ones by padding alone", "[batches]") {
  for (const Case& c : cases()) {
    const Copy copy(c.fixture);
    data::DataOptions options = copy.options();
    c.change(options);
    const data::Dataset dataset = data::open_task(c.task, options)->open(data::Split::train);
    for (const char* on_device : {"false", "true"}) {
      INFO(c.name << ", on_device " << on_device);
      const BatchMaker maker = maker_of(dataset, on_device, 0, BatchShapes::rounded);
      int64_t longest = 1;
      for (const int64_t row : all_rows(dataset)) {
        for (int64_t s = 0; s < dataset.sequences(); ++s) longest = std::max(longest, dataset.length(row, s));
      }
      for (int64_t row = 0; row + 1 < dataset.size(); ++row) {
        const std::vector<int64_t> rows = {row, row + 1};
        const Batch exact = make_batch(dataset, rows, 0, c10::kCPU), rounded = maker.make(rows);
        if (!exact.lengths.defined()) {
          CHECK(same(exact, rounded));
          CHECK(rounded.token_slots == 0);
          continue;
        }
        const int64_t width = rounded.ids.size(2), tokens = exact.lengths.sum().item<int64_t>();
        CHECK(rounded.lengths.equal(exact.lengths));
        CHECK(rounded.labels.equal(exact.labels));
        REQUIRE(width >= exact.ids.size(2));
        CHECK(rounded.ids.narrow(2, 0, exact.ids.size(2)).equal(exact.ids));
        CHECK((width % 128 == 0 || width == longest));
        CHECK(rounded.token_slots >= tokens);
        CHECK(rounded.token_slots <= tokens + std::max<int64_t>(128, rounded.ids.numel() / 32));
      }
    }
  }
}

TEST_CASE("documents that several rows share are resident once", "[batches]") {
  const Copy copy(kPairs);  // a folder; the pairs come from the generator, whose documents are in several
  data::RetrievalParameters p;
  p.train = 200;
  p.val = p.test = 4;
  p.min_bytes = 40;
  p.max_bytes = 200;
  data::DataOptions options = copy.options();
  options.root += "/made";
  data::generate_retrieval(options.root, p);
  const data::Dataset train = data::open_task("retrieval", options)->open(data::Split::train);
  int64_t with_repeats = 0;
  for (int64_t row = 0; row < train.size(); ++row) {
    for (const int64_t s : {0, 1}) with_repeats += static_cast<int64_t>(train.bytes(row, s).size());
  }
  const auto once = static_cast<int64_t>(train.storage().size());
  REQUIRE(once < with_repeats / 2);
  CHECK(resident_bytes(train) ==
        once + 8 * train.size() * 5);  // begins and lengths of two documents, a label
  const BatchMaker resident = maker_of(train, "true");
  CHECK(resident.resident_bytes() == resident_bytes(train));
  CHECK(same(resident.make(all_rows(train)), make_batch(train, all_rows(train), 0, c10::kCPU)));
}

TEST_CASE("a split stays on the host unless asked for elsewhere", "[batches]") {
  const Copy copy(kPairs);
  const data::Dataset train = some_dataset(copy);
  CHECK(maker_of(train, "auto").resident_bytes() == 0);
  CHECK(maker_of(train, "false").resident_bytes() == 0);
  CHECK(maker_of(train, "true").resident_bytes() == resident_bytes(train));
}

TEST_CASE("a stream gives the same batches in order with and without a thread", "[batches]") {
  const Copy copy(kPairs);
  const data::Dataset train = some_dataset(copy);
  for (const char* on_device : {"false", "true"}) {
    const BatchMaker maker = maker_of(train, on_device);
    for (const int64_t prefetch : {0, 1, 2, 7}) {
      INFO("on_device " << on_device << ", prefetch " << prefetch);
      const auto rows = rows_in_turn(train.size());
      BatchStream stream(maker, rows, 3, 20, prefetch);
      for (int64_t number = 3; number < 20; ++number) {
        const auto [batch, tokens] = stream.next();
        CHECK(same(batch, make_batch(train, rows(number), 0, c10::kCPU)));
        CHECK(tokens == count_tokens(train, rows(number)));
      }
      CHECK_THROWS_WITH(stream.next(), test::contains_text("all 20 have been given out"));
    }
  }
}

TEST_CASE("a stream never runs further ahead than its bound, and ends early when it is let go", "[batches]") {
  const Copy copy(kPairs);
  const data::Dataset train = some_dataset(copy);
  const BatchMaker maker = maker_of(train, "false");
  for (const int64_t prefetch : {1, 2, 5}) {
    for (const int64_t wanted : {0, 1, 30}) {
      std::atomic<int64_t> taken = 0;
      std::atomic<bool> too_far = false;
      {
        BatchStream stream(
            maker,
            [&](int64_t number) {
              if (number >= taken + prefetch) too_far = true;
              return std::vector<int64_t>{number % train.size()};
            },
            0, 1000000, prefetch);
        while (taken < wanted) {
          ++taken;
          stream.next();
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(2));  // time to go wrong; right takes none
      }
      INFO("prefetch " << prefetch << ", wanted " << wanted);
      CHECK_FALSE(too_far);
    }
  }
}

TEST_CASE("what goes wrong while a batch is made reaches the caller, after the batches before it",
          "[batches]") {
  const Copy copy(kPairs);
  const data::Dataset train = some_dataset(copy);
  const BatchMaker maker = maker_of(train, "false");
  for (const int64_t prefetch : {0, 2}) {
    BatchStream stream(
        maker,
        [](int64_t number) -> std::vector<int64_t> {
          if (number == 3) throw std::runtime_error("no rows for number 3");
          return {number};
        },
        0, 10, prefetch);
    for (int64_t number = 0; number < 3; ++number)
      CHECK(same(stream.next().batch, make_batch(train, std::vector{number}, 0, c10::kCPU)));
    CHECK_THROWS_WITH(stream.next(), test::contains_text("no rows for number 3"));
    CHECK_THROWS_WITH(stream.next(), test::contains_text("no rows for number 3"));
  }
}

TEST_CASE("the chunks of the training steps are those of the sampler's batches", "[batches]") {
  const Copy copy(kPairs);
  const data::Dataset train = some_dataset(copy);
  const BatchMaker maker = maker_of(train, "false");
  Config config;
  config.train.batch_size = 7;
  config.train.accumulate = 3;  // chunks of 2, 2 and 3
  data::Sampler sampler(train.size(), 7, 5);
  const auto stream = training_stream(maker, sampler, config, 4, 9);
  for (int64_t step = 4; step < 9; ++step) {
    const std::vector<int64_t> rows = sampler.batch(step);
    size_t begin = 0;
    for (const size_t size : {2U, 2U, 3U}) {
      CHECK(
          same(stream->next().batch, make_batch(train, std::span(rows).subspan(begin, size), 0, c10::kCPU)));
      begin += size;
    }
  }
  CHECK_THROWS_AS(stream->next(), Error);
}

TEST_CASE("the processes' parts of the training steps are together the sampler's batches", "[batches]") {
  const Copy copy(kPairs);
  const data::Dataset train = some_dataset(copy);
  const BatchMaker maker = maker_of(train, "false");
  Config config;
  config.train.batch_size = 11;
  config.train.accumulate = 4;  // two chunks for each of two or three processes
  data::Sampler sampler(train.size(), 11, 5);
  for (const int64_t processes : {2, 3}) {
    REQUIRE(training_chunks(config.train, processes) == 2);
    std::vector<std::unique_ptr<BatchStream>> streams;
    for (int64_t rank = 0; rank < processes; ++rank) {
      StepLayout layout;
      layout.rank = rank;
      layout.processes = processes;
      streams.push_back(training_stream(maker, sampler, config, 2, 4, layout));
    }
    for (int64_t step = 2; step < 4; ++step) {
      const std::vector<int64_t> rows = sampler.batch(step);
      size_t begin = 0;
      for (const auto& stream : streams) {
        for (int chunk = 0; chunk < 2; ++chunk) {
          const Batch batch = stream->next().batch;
          const auto size = static_cast<size_t>(batch.labels.size(0));
          CHECK(same(batch, make_batch(train, std::span(rows).subspan(begin, size), 0, c10::kCPU)));
          begin += size;
        }
      }
      CHECK(begin == rows.size());
    }
  }
  config.train.accumulate = 64;  // never more chunks than examples
  CHECK(training_chunks(config.train, 4) == 2);
}

TEST_CASE("chunks that one process has found are those of the whole batch", "[batches]") {
  CHECK(chunks_of_share(32, 32, 1) == 32);
  CHECK(chunks_of_share(32, 32, 4) == 8);  // an example each
  CHECK(chunks_of_share(5, 32, 4) == 2);
  CHECK(chunks_of_share(64, 33, 32) == 1);
  CHECK(chunks_of_share(1, 32, 8) == 1);
}
