/* SPDX-License-Identifier: Apache-2.0 */
/* engine.h: the built-in subject: a process that serves queries and learns from them. */
#ifndef KERNELS_ENGINE_H
#define KERNELS_ENGINE_H

/*
 * `perftop engine [OPTIONS]`; argv[0] is "engine". Runs until its duration ends, or SIGTERM, SIGINT
 * or SIGHUP (all three are blocked in the calling thread meanwhile and restored). Returns the exit
 * status: 0, 1 when it cannot run (said on stderr), 2 for bad options.
 *
 * Metrics (units in brackets): kernel.NAME.ISA.ns [ns], .flops [flop] and .bytes [B] of
 * attention_flash, micro_lora_forward, micro_lora_update, lora_base_forward, lora_base_gradient,
 * ewc_fisher, ewc_constrain, kmeans and pattern_search; query.response (from the scheduled
 * arrival), query.service, learner.drain, learning.loop_a, .loop_b, .loop_c and .save [ns];
 * counters query.completed, trajectory.recorded, .dropped, .drained, .cas_attempts, .cas_failures,
 * learning.updates, .save_failures, pattern.searches, .skipped, .found, dream.made, .kept, .links;
 * gauges trajectory.capacity, .used, machine.peak_gflops_x1000, engine.workers, engine.load_qps,
 * learning.reward_x1000, learning.staged, pattern.count, memory.nodes, ewc.tasks.
 *
 * --state DIR: learned.state and patterns.state there, each whole or not at all (learned.h), and
 * `lock`, which an engine holds while it uses the folder.
 */
int engine_main(int argc, char **argv);

#endif
