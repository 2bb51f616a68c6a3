/**
 * Names of units that every systemd host has, see systemd.special(7). Holon starts units when the
 * host has booted, so waiting for these changes nothing. Services are the fleet's own; what else
 * there is is refused.
 */
import { unitNameError } from '../unit-name.ts'
import { bad, ok, type Parsed } from '../values.ts'
import { trimWhitespace } from '../words.ts'

// A booted host has reached these, or never will.
const reached = new Set(
  `basic boot-complete cryptsetup cryptsetup-pre default first-boot-complete getty getty-pre
  graphical integritysetup integritysetup-pre local-fs local-fs-pre machines multi-user
  network network-online network-pre nss-lookup nss-user-lookup paths remote-cryptsetup
  remote-fs remote-fs-pre remote-veritysetup rpcbind runlevel2 runlevel3 runlevel4 runlevel5
  slices sockets swap sysinit syslog time-set time-sync timers veritysetup veritysetup-pre`
    .split(/\s+/)
    .map((name) => `${name}.target`),
)

// Reached at another time than boot: hardware, sessions, sleep, another way to boot, the end.
const occasional = new Set(
  `bluetooth ctrl-alt-del emergency exit final graphical-session graphical-session-pre halt
  hibernate hybrid-sleep initrd initrd-fs initrd-root-device initrd-root-fs initrd-switch-root
  initrd-usr-fs kbrequest kexec poweroff printer reboot rescue runlevel0 runlevel1 runlevel6
  shutdown sigpwr sleep smartcard soft-reboot sound suspend suspend-then-hibernate
  system-update system-update-pre umount usb-gadget xdg-desktop-autostart`
    .split(/\s+/)
    .map((name) => `${name}.target`),
)

const atTheEnd = new Set(
  'shutdown umount final reboot poweroff halt kexec exit soft-reboot rescue emergency'
    .split(' ')
    .map((name) => `${name}.target`),
)

// Services, sockets and slices of the host's own systemd; nobody runs these under Holon.
const hostOwn: readonly RegExp[] = [
  /^systemd-[A-Za-z0-9_.-]+\.(service|socket|path|timer|mount)$/,
  /^(dbus|syslog)\.(service|socket)$/,
  /^(-|system|user)\.slice$/,
  /.\.(mount|device|swap)$/,
]

/** For After= and Before=: those of `value`'s units that are not the host's own; why not, if bad. */
export function orderingUnits(value: string): Parsed<readonly string[]> {
  const isHost = (name: string) =>
    reached.has(name) || occasional.has(name) || hostOwn.some((pattern) => pattern.test(name))
  return servicesOf(value, 'ordering against', isHost)
}

/** For Wants=, Requires= and the like, likewise. */
export function requirementUnits(value: string): Parsed<readonly string[]> {
  return servicesOf(value, 'depending on', (name) => reached.has(name))
}

/** For Conflicts=, likewise. */
export function conflictUnits(value: string): Parsed<readonly string[]> {
  return servicesOf(value, 'conflicting with', (name) => atTheEnd.has(name))
}

function servicesOf(
  value: string,
  relation: string,
  isHost: (name: string) => boolean,
): Parsed<readonly string[]> {
  const names = namesIn(value).filter((name) => !isHost(name))
  const wrong = names.find(
    (name) => unitNameError(name) !== undefined || hostOwn.some((pattern) => pattern.test(name)),
  )
  if (wrong === undefined) return ok(names)
  return bad(
    `${relation} ${wrong} is not supported yet; only services of the fleet ` +
      'and well-known targets may stand here',
  )
}

/** For WantedBy= and the like: why being pulled in by one of `value`'s units would matter. */
export function installRefusal(value: string): string | undefined {
  return firstRefusal(value, (name) => {
    if (reached.has(name)) return undefined
    return occasional.has(name)
      ? `${name} is not reached at boot, and Holon starts enabled units when it starts`
      : `being started together with ${name} is not supported yet`
  })
}

/** Why one of `value`'s words is none of `accepted`. */
export function choiceRefusal(accepted: readonly string[]): (value: string) => string | undefined {
  return (value) =>
    value === '' || accepted.includes(value)
      ? undefined
      : `${JSON.stringify(value)} is not supported yet, only ${accepted.join(', ')}`
}

function firstRefusal(
  value: string,
  refusalOf: (name: string) => string | undefined,
): string | undefined {
  for (const name of namesIn(value)) {
    const refusal = refusalOf(name)
    if (refusal !== undefined) return refusal
  }
  return undefined
}

function namesIn(value: string): readonly string[] {
  return trimWhitespace(value)
    .split(/[ \t]+/)
    .filter((name) => name !== '')
}
