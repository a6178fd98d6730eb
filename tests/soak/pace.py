"""How fast a soak lives: as production does, or everything scaled down to minutes."""

from __future__ import annotations

from dataclasses import dataclass

LONG_MINUTES = 5.0


@dataclass(frozen=True)
class Pace:
    """Seconds, but for `clock_speed`: how much faster the minutes of schedules pass."""

    name: str
    tick_s: float
    lease_s: float
    ring_again_s: float
    clock_speed: float
    between_faults_s: tuple[float, float]
    between_deeds_s: tuple[float, float]  # of one merchant
    drain_s: float
    sample_s: float

    def environment(self) -> dict[str, str]:
        """Return what the product's processes are told."""
        return {
            "TICK_SECONDS": f"{self.tick_s:g}",
            "LEASE_SECONDS": f"{self.lease_s:g}",
            "RING_AGAIN_SECONDS": f"{self.ring_again_s:g}",
            "DEMO_CLOCK_SPEED": f"{self.clock_speed:g}",
        }

    def __str__(self) -> str:
        return (
            f"{self.name}: tick {self.tick_s:g} s, lease {self.lease_s:g} s, "
            f"schedules {self.clock_speed:g} × as fast"
        )


PRODUCTION = Pace(
    name="production's clock",
    tick_s=15,
    lease_s=60,
    ring_again_s=30,
    clock_speed=30,
    between_faults_s=(15, 45),
    between_deeds_s=(20, 60),
    drain_s=600,
    sample_s=2,
)
SCALED = Pace(
    name="scaled-down clock",
    tick_s=1,
    lease_s=4,
    ring_again_s=3,
    clock_speed=300,
    between_faults_s=(2, 5),
    between_deeds_s=(3, 9),
    drain_s=75,
    sample_s=0.5,
)


def pace_for(minutes: float) -> Pace:
    """Return production's settings for a long run."""
    return PRODUCTION if minutes >= LONG_MINUTES else SCALED
