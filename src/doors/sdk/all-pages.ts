/** Listings put together from their pages. */
import type { Pages, System } from '../../kernel/kernel.ts'
import type { CallOptions, Page, ProcessListing, ProcessQuery } from '../../kernel/types.ts'

/** `each` gets all pages of a listing, which is then given back. */
export async function allPages<P extends Page>(
  asked: Promise<Pages<P>>,
  each: (page: P) => void,
  options: CallOptions,
): Promise<void> {
  using pages = await asked
  for (let last = false; !last; ) {
    const page = await pages.next(options)
    each(page)
    last = page.last
  }
}

/** All processes, by machine and pid. The signal ends the whole of it. */
export async function allProcesses(
  system: System,
  query: ProcessQuery,
  options: CallOptions,
): Promise<ProcessListing> {
  const pages: ProcessListing[] = []
  await allPages(system.processes(query, options), (page) => pages.push(page), options)
  const processes = pages.flatMap((page) => page.processes)
  const machines = pages.flatMap((page) => page.machines)
  // Pages come in no order of machines; the rows of each are in theirs.
  return {
    processes: processes.sort(byMachine),
    machines: machines.sort(byMachine),
    missing: pages.at(-1)?.missing ?? [],
  }
}

function byMachine(a: { readonly machine: string }, b: { readonly machine: string }): number {
  if (a.machine === b.machine) return 0
  return a.machine < b.machine ? -1 : 1
}
