/**
 * Cuts and loss: how the record changes, and what each machine's packet filter must do then. Pure.
 *
 * Every fault is made where packets arrive, never where they leave: a sender whose own filter drops
 * gets an error, one whose packets vanish on the way gets silence, and silence is what a broken
 * network gives. Senders are told apart by their hardware address, so that a machine that takes
 * another IP address stays cut.
 */
import { HolonError } from '../base/errors.ts'
import { type Cut, type LabRecord, machineName, macOf, numberOf } from './record.ts'

const same = (a: Cut, b: Cut): boolean => a.from === b.from && a.to === b.to

function withCuts(lab: LabRecord, cuts: readonly Cut[]): LabRecord {
  const added = cuts.filter((cut) => !lab.cuts.some((earlier) => same(earlier, cut)))
  return { ...lab, cuts: [...lab.cuts, ...added] }
}

/** Cuts one machine off from everybody, or two from each other. */
export function cutOff(lab: LabRecord, name: string, other?: string): LabRecord {
  numberOf(lab, name)
  if (other === undefined) {
    return withCuts(lab, [
      { from: name, to: '*' },
      { from: '*', to: name },
    ])
  }
  numberOf(lab, other)
  if (name === other) {
    throw new HolonError('invalid_argument', `cut ${name} ${other}: two different machines`)
  }
  return withCuts(lab, [
    { from: name, to: other },
    { from: other, to: name },
  ])
}

/** One direction only; an end left out is everybody. */
export function cutOneWay(lab: LabRecord, ends: { from?: string; to?: string }): LabRecord {
  const { from = '*', to = '*' } = ends
  if (from === to) {
    throw new HolonError('invalid_argument', 'cut --from X --to Y: two different machines')
  }
  for (const name of [from, to]) if (name !== '*') numberOf(lab, name)
  return withCuts(lab, [{ from, to }])
}

/** No packet passes between machines of different groups; who is in no group keeps all links. */
export function partition(lab: LabRecord, groups: readonly (readonly string[])[]): LabRecord {
  const all = groups.flat()
  for (const name of all) numberOf(lab, name)
  if (groups.length < 2 || groups.some((group) => group.length === 0)) {
    throw new HolonError(
      'invalid_argument',
      'partition: at least two groups are expected, like n1,n2 / n3,n4,n5',
    )
  }
  const twice = all.find((name, index) => all.indexOf(name) !== index)
  if (twice !== undefined) {
    throw new HolonError('invalid_argument', `partition: ${twice} is in two groups`)
  }
  const cuts = groups.flatMap((group) =>
    group.flatMap((from) =>
      all.filter((name) => !group.includes(name)).map((to) => ({ from, to })),
    ),
  )
  return withCuts(lab, cuts)
}

/** "n1,n2 / n3" as words in any spacing, to groups. */
export function parseGroups(words: readonly string[]): readonly (readonly string[])[] {
  return words
    .join(' ')
    .split('/')
    .map((group) => group.split(/[\s,]+/).filter((name) => name !== ''))
}

/** 0 ends it. */
export function setLoss(lab: LabRecord, name: string, percent: number): LabRecord {
  numberOf(lab, name)
  const { [name]: _, ...others } = lab.loss
  return { ...lab, loss: percent === 0 ? others : { ...others, [name]: percent } }
}

/** "20%" or "20": a whole number of percent. */
export function parsePercent(text: string): number {
  const digits = /^(\d{1,3})%?$/.exec(text)?.[1]
  const percent = Number(digits)
  if (digits !== undefined && percent <= 100) return percent
  throw new HolonError(
    'invalid_argument',
    `loss ${JSON.stringify(text)}: whole percent from 0% to 100% are expected`,
  )
}

/** Without the cuts and the loss that name the machine, or without any. */
export function heal(lab: LabRecord, name?: string): LabRecord {
  if (name === undefined) return { ...lab, cuts: [], loss: {} }
  const cuts = lab.cuts.filter((cut) => cut.from !== name && cut.to !== name)
  return { ...setLoss(lab, name, 0), cuts }
}

/** What one machine's filter does with what arrives. */
export interface Filter {
  readonly dropAll: boolean
  /** Hardware addresses of senders. */
  readonly dropFrom: readonly string[]
  readonly loseAll: number
  readonly loseFrom: readonly { readonly mac: string; readonly percent: number }[]
}

export function filterOf(lab: LabRecord, number: number): Filter {
  const to = machineName(number)
  const others = lab.machines.filter((other) => other !== number)
  const cut = (from: string) =>
    lab.cuts.some((c) => (c.from === from || c.from === '*') && (c.to === to || c.to === '*'))
  return {
    dropAll: lab.cuts.some((c) => c.from === '*' && c.to === to),
    dropFrom: others.filter((other) => cut(machineName(other))).map((other) => macOf(lab, other)),
    loseAll: lab.loss[to] ?? 0,
    loseFrom: others.flatMap((other) => {
      const percent = lab.loss[machineName(other)] ?? 0
      return percent === 0 ? [] : [{ mac: macOf(lab, other), percent }]
    }),
  }
}

export function isEmpty({ dropAll, dropFrom, loseAll, loseFrom }: Filter): boolean {
  return !dropAll && dropFrom.length === 0 && loseAll === 0 && loseFrom.length === 0
}

const device = 'eth0'
const table = 'holon_lab'

/** For `nft -f -`: replaces what was there in one step. */
export function nftScript(filter: Filter): string {
  const lose = (percent: number) => `numgen random mod 100 < ${percent} drop`
  const rules = [
    ...(filter.dropAll ? [`iifname ${device} drop`] : []),
    ...filter.dropFrom.map((mac) => `iifname ${device} ether saddr ${mac} drop`),
    ...(filter.loseAll === 0 ? [] : [`iifname ${device} ${lose(filter.loseAll)}`]),
    ...filter.loseFrom.map(
      ({ mac, percent }) => `iifname ${device} ether saddr ${mac} ${lose(percent)}`,
    ),
  ]
  return [
    `table inet ${table}`,
    `delete table inet ${table}`,
    ...(rules.length === 0
      ? []
      : [
          `table inet ${table} {`,
          '  chain arrive {',
          '    type filter hook prerouting priority -300;',
          ...rules.map((rule) => `    ${rule}`),
          '  }',
          '}',
        ]),
    '',
  ].join('\n')
}

/** For `iptables-restore --noflush` and `ip6tables-restore --noflush`, where there is no nft. */
export function iptablesScript(filter: Filter): string {
  const lose = (percent: number) =>
    `-m statistic --mode random --probability ${(percent / 100).toFixed(2)} -j DROP`
  const from = (mac: string) => `-A PREROUTING -i ${device} -m mac --mac-source ${mac}`
  return [
    '*mangle',
    // The machine is ours, and its mangle table with it.
    '-F PREROUTING',
    ...(filter.dropAll ? [`-A PREROUTING -i ${device} -j DROP`] : []),
    ...filter.dropFrom.map((mac) => `${from(mac)} -j DROP`),
    ...(filter.loseAll === 0 ? [] : [`-A PREROUTING -i ${device} ${lose(filter.loseAll)}`]),
    ...filter.loseFrom.map(({ mac, percent }) => `${from(mac)} ${lose(percent)}`),
    'COMMIT',
    '',
  ].join('\n')
}
