<?php
/*
 * Signs a sticky token for Athena, for a PHP application:
 *
 *   setcookie('athena', athena_token(getenv('ATHENA_COOKIE__KEY'), 'k', 'app01', 'farm_one', time() + 3600));
 *
 * $mode: 'k' keeps to the backend $target as long as it is up (on or drain), else a new choice is made; 'p' pins to it
 * whatever its state; 'f' uses the farm $target instead of $farm. $expires is in Unix seconds. The token has at most 62
 * octets, so it is also a DNS label: TOKEN.farm_one.athena.
 *
 * On the command line: ATHENA_COOKIE__KEY='…' php token.php MODE TARGET FARM EXPIRY
 */

function athena_token(string $key, string $mode, string $target, string $farm, int $expires): string
{
    if (!in_array($mode, ['k', 'p', 'f'], true)) {
        throw new InvalidArgumentException("a mode is k, p or f, not $mode");
    }
    $head = sprintf('%s%08x', $mode, $expires);
    $target = strtolower($target);
    $mac = hash_hmac('sha256', $head . '-' . $target . '.' . strtolower($farm), $key);

    return $head . substr($mac, 0, 20) . '-' . $target;
}

if (PHP_SAPI === 'cli' && realpath($argv[0]) === __FILE__) {
    if ($argc !== 5) {
        fwrite(STDERR, "usage: php token.php k|p|f TARGET FARM EXPIRY\n");
        exit(2);
    }
    echo athena_token((string) getenv('ATHENA_COOKIE__KEY'), $argv[1], $argv[2], $argv[3], (int) $argv[4]), "\n";
}
