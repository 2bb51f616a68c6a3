/** How busy a machine is, as one number to compare machines by: 0 is idle, lower is better. */
import type { MachineReport } from '../kernel/types.ts'

export function loadOf(report: MachineReport): number {
  const { cpuCount, load1, memoryBytes, memoryAvailableBytes, pressure } = report
  const load = load1 / Math.max(1, cpuCount)
  const memoryUsed = 1 - memoryAvailableBytes / Math.max(1, memoryBytes)
  // Pressure says that work waits; load and memory only that there is some. Full memory is worse
  // than full processors: it ends programs instead of slowing them down.
  const waiting = pressure === undefined ? load : (pressure.cpu + pressure.io) / 100
  const short = memoryUsed > 0.9 ? (memoryUsed - 0.9) * 20 : 0
  const stall = (pressure?.memory ?? 0) / 25
  return Math.min(load, 4) / 4 + waiting + memoryUsed / 2 + short + stall
}
